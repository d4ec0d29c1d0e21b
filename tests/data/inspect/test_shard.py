"""One shard: the same samples and the same causes as in training."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.data.inspect.findings import Findings
from cyclip_pl.data.inspect.shard import Look, look_at
from cyclip_pl.data.inspect.sources import CLASSIFICATION, RETRIEVAL, TRAINING
from cyclip_pl.data.shard_sizes import shard_sizes
from tests.data.shards import epoch_of, png, sample, write_tar
from tests.helpers.images import bomb, encoded
from tests.helpers.lost_samples import IMAGES
from tests.helpers.tars import mutated, tar

PAIRS = Look(TRAINING)


def lost(found: Findings) -> dict[str, int]:
    return dict(found.lost)


def test_a_whole_shard(tmp_path: Path) -> None:
    jpeg = encoded(Image.new("RGB", (30, 20)))
    members = {f"{n}": sample(n) for n in range(3)} | {"jpeg": {"jpg": jpeg, "txt": b"a b c d"}}
    path = write_tar(tmp_path / "x.tar", members)
    found = look_at(str(path), 4, PAIRS)
    assert (found.samples, found.captions, lost(found)) == (4, 4, {})
    assert found.formats == {"PNG": 3, "JPEG": 1}
    assert found.distributions["width"].counts == {8: 3, 30: 1}
    assert found.distributions["height"].counts == {8: 3, 20: 1}
    assert found.distributions["image_bytes"].counts[len(jpeg)] == 1
    assert found.distributions["words"].counts == {2: 3, 4: 1}
    # Start, "image", the digit and end; start, four letters and end.
    assert found.distributions["tokens"].counts == {4: 3, 6: 1}
    assert found.distributions["shard_samples"].counts == {4: 1}
    assert found.distributions["shard_bytes"].counts == {path.stat().st_size: 1}
    assert {name: len(some) for name, some in found.hashes.items()} == {
        "keys": 4,
        "captions": 4,
        "images": 4,
    }


SPOILT = {
    "good": sample(0),
    "noimage": {"txt": b"x"},
    "nocaption": {"png": png(1)},
    "empty": {"png": png(2), "txt": b" \n"},
    "latin": {"png": png(3), "txt": b"\xff"},
    "broken": {"png": png(4)[:50], "txt": b"x"},
    "large": {"png": bomb(20_000, 20_000), "txt": b"x"},
}
CAUSES = {
    "missing image": 1,
    "missing caption": 1,
    "empty caption": 1,
    "unreadable caption": 1,
    "undecodable image": 1,
    "image too large": 1,
}


def test_lost_samples_are_told_with_key_and_cause(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", SPOILT)
    found = look_at(str(path), None, PAIRS)
    assert (found.samples, lost(found)) == (1, CAUSES)
    told = {one.key: one.cause for one in found.told}
    assert told["broken"] == "undecodable image"
    assert told["nocaption"] == "missing caption"
    assert {one.shard for one in found.told} == {str(path)}


def test_training_counts_the_same(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {**SPOILT, "last": sample(9)})
    batches = epoch_of(tmp_path, batch_size=2)
    counted = sum((Counter(batch.skipped) for batch in batches), Counter())
    found = look_at(str(tmp_path / "x.tar"), None, PAIRS)
    assert counted and counted == {cause: CAUSES[cause] for cause in counted}
    assert lost(found) == CAUSES


@pytest.mark.parametrize(
    ("counted", "expected"),
    [(5, {"missing sample": 2}), (2, {"uncounted sample": 1}), (3, {}), (None, {})],
)
def test_the_count_beside_it(tmp_path: Path, counted: int | None, expected: dict[str, int]) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(3)})
    assert lost(look_at(str(path), counted, PAIRS)) == expected


@pytest.mark.parametrize(
    ("counted", "expected"), [(9, {"cut shard": 7}), (None, {"cut shard of unknown size": 1})]
)
def test_a_cut_shard(tmp_path: Path, counted: int | None, expected: dict[str, int]) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(6)})
    path.write_bytes(path.read_bytes()[: 512 * 10])
    found = look_at(str(path), counted, PAIRS)
    assert (found.samples, lost(found)) == (2, expected)
    assert "cut at byte 5120" in found.told[0].detail


def test_no_damage_is_overlooked(tmp_path: Path) -> None:
    """Each image is one whole sample; damage loses samples, and each loss has a cause."""
    members = [
        (f"{key}.{extension}", data)
        for key in IMAGES
        for extension, data in (("png", png(int(key))), ("txt", key.encode()))
    ]
    whole, rng = tar(members), random.Random(0)
    path = tmp_path / "x.tar"
    for _ in range(60):
        what, data = mutated(whole, rng)
        path.write_bytes(data)
        (size,) = shard_sizes([str(path)])
        found = look_at(str(path), len(IMAGES), PAIRS)
        assert found.samples + sum(found.lost.values()) >= len(IMAGES), what
        if size.broken:
            assert found.lost, what


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1", {}),
        (b" 0\n", {}),
        (b"2", {"label without a class": 1}),
        (b"-1", {"unreadable label": 1}),
        (b"a", {"unreadable label": 1}),
    ],
)
def test_labels(tmp_path: Path, text: bytes, expected: dict[str, int]) -> None:
    path = write_tar(tmp_path / "0.tar", {"s": {"png": png(0), "cls": text}})
    found = look_at(str(path), None, Look(CLASSIFICATION, ("cat", "dog"), shown=1))
    assert lost(found) == expected
    if not expected:
        label = int(text)
        assert found.labels == {label: 1}
        assert found.shown[0].caption == ("cat", "dog")[label]


def test_lines_are_captions_of_a_retrieval_set(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", {"s": {"png": png(0), "txt": b"one\n\ntwo words\n"}})
    found = look_at(str(path), None, Look(RETRIEVAL))
    assert (found.samples, found.captions) == (1, 2)
    assert found.distributions["words"].counts == {1: 1, 2: 1}


def test_captions_of_a_json_member(tmp_path: Path) -> None:
    about = json.dumps({"title": ["one", "two", "three"], "meta": {"long": "four"}}).encode()
    path = write_tar(tmp_path / "x.tar", {"s": {"png": png(0), "json": about}})
    for key, captions in (("title", 3), ("meta.long", 1)):
        found = look_at(str(path), None, Look(TRAINING, caption_key=key))
        assert (found.samples, found.captions) == (1, captions)


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{n}": sample(n) for n in range(6)})
    path.write_bytes(path.read_bytes()[: 512 * 10])  # cut behind the second
    found = look_at(str(path), 6, Look(TRAINING, limit=2))
    assert (found.samples, lost(found)) == (2, {})
    assert not found.distributions["shard_samples"].counts


def test_the_choice_of_images_is_a_function_of_seed_and_names(tmp_path: Path) -> None:
    members = {f"{n:02d}": sample(n) for n in range(20)}
    forward = write_tar(tmp_path / "a" / "x.tar", members)
    backward = write_tar(tmp_path / "b" / "x.tar", dict(reversed(members.items())))

    def chosen(path: Path, seed: int) -> list[str]:
        return [
            one.name for one in look_at(str(path), None, Look(TRAINING, shown=5, seed=seed)).shown
        ]

    assert chosen(forward, 0) == chosen(backward, 0)
    assert len(set(chosen(forward, 0))) == 5
    assert chosen(forward, 0) != chosen(forward, 1)
