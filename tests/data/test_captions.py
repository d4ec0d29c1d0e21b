from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cyclip_pl.data.captions import Captions, caption_id, in_json
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.skipped import SkippedSample
from tests.data.shards import data_module, epoch_of, png, write_tar


@pytest.mark.parametrize(
    ("table", "key", "expected"),
    [
        ({"a": "x"}, "a", ["x"]),
        ({"a": {"b": "x"}}, "a.b", ["x"]),
        ({"a.b": "literal", "a": {"b": "nested"}}, "a.b", ["literal"]),
        ({"a.b": None, "a": {"b": "nested"}}, "a.b", ["nested"]),
        ({"meta": {"captions": {"long": [" x ", "", "y"]}}}, "meta.captions.long", ["x", "y"]),
        ({"a.b": {"c": "x"}}, "a.b.c", ["x"]),
        ({"a": {"b.c": "x"}}, "a.b.c", ["x"]),
        ({"a.b": {"d": 1}, "a": {"b": {"c": "x"}}}, "a.b.c", ["x"]),
    ],
)
def test_nested_keys_and_keys_with_dots(table: Any, key: str, expected: list[str]) -> None:
    assert in_json(table, key) == expected


@pytest.mark.parametrize("table", [{"a": "x"}, {"a": {"c": "x"}}, {"a": ["b"]}, [], None])
def test_a_nested_key_that_is_not_there(table: Any) -> None:
    with pytest.raises(SkippedSample, match="its json has no 'a.b'"):
        in_json(table, "a.b")


def test_members_are_those_that_the_keys_need() -> None:
    assert Captions({"txt": 1}).members == ("txt",)
    assert Captions({"a": 1, "b.c": 1}).members == ("json",)
    assert Captions({"a": 1, "txt": 1}).members == ("json", "txt")


def test_what_a_sample_lacks_is_left_out() -> None:
    captions = Captions({"txt": 1, "a": 1, "b": 1})
    table = json.dumps({"a": ["x", "y"], "b": 3}).encode()
    assert captions({"txt": b"t", "json": table}) == {"txt": ["t"], "a": ["x", "y"]}
    assert captions({"json": table}) == {"a": ["x", "y"]}
    assert captions({"txt": b"t", "json": b"{"}) == {"txt": ["t"]}
    for texts in ({}, {"json": b"{}"}, {"txt": b" ", "json": b"[]"}):
        with pytest.raises(SkippedSample) as caught:
            captions(texts)
        assert caught.value.reason in ("missing caption", "empty caption")


def _shares(weights: dict[str, float], present: dict[str, list[str]]) -> dict[str, float]:
    captions, n = Captions(weights), 6000
    drawn = Counter(captions.draw(present, generator("t", i)) for i in range(n))
    return {caption: count / n for caption, count in drawn.items()}


def test_shares_are_the_weights_of_what_is_there() -> None:
    weights = {"txt": 3.0, "a": 1.0, "b": 4.0}
    # Six standard deviations of a share are below 0.04.
    found = _shares(weights, {"txt": ["t"], "a": ["x"], "b": ["y", "z"]})
    assert found == pytest.approx({"t": 3 / 8, "x": 1 / 8, "y": 1 / 4, "z": 1 / 4}, abs=0.04)
    found = _shares(weights, {"txt": ["t"], "a": ["x"]})
    assert found == pytest.approx({"t": 3 / 4, "x": 1 / 4}, abs=0.04)
    assert _shares(weights, {"a": ["x"]}) == {"x": 1}


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "x", True, None])
def test_a_weight_is_a_number_above_zero(weight: Any) -> None:
    with pytest.raises(ValueError, match="^data.caption_keys: txt=.*must be") as caught:
        Captions({"txt": weight})
    assert "\n" not in str(caught.value)


def test_no_key_at_all() -> None:
    with pytest.raises(ValueError, match="data.caption_keys={}: names no key"):
        Captions({})


KEYS = {"txt": 1, "long.text": 2}


def _write(folder: Path, shards: int = 4, each: int = 10) -> Path:
    """Each third sample lacks one of two captions, and the last of a shard has neither."""
    for shard in range(shards):
        samples: dict[str, dict[str, bytes]] = {}
        for n in range(shard * each, shard * each + each):
            long = {"long": {"text": f"long {n}"}} if n % 3 != 1 else {}
            samples[f"{n:04d}"] = {"png": png(n), "json": json.dumps(long).encode()}
            if n % 3 != 2:
                samples[f"{n:04d}"]["txt"] = f"short {n}".encode()
            if n % each == each - 1:
                samples[f"{n:04d}"] = {"png": png(n), "json": b'{"other": "x"}'}
        write_tar(folder / f"{shard}.tar", samples)
    return folder


def _tokens(texts: list[str]) -> Any:
    import torch

    return torch.tensor([[int(text.split()[1]), text.startswith("long")] for text in texts])


def _drawn(folder: Path, **settings: Any) -> tuple[dict[int, int], Counter[str]]:
    """Of each sample, whether the long caption was drawn; and what was skipped."""
    batches = epoch_of(folder, caption_keys=KEYS, tokenizer=_tokens, **settings)
    skipped: Counter[str] = Counter()
    for batch in batches:
        skipped.update(batch.skipped)
        for image, (n, _) in zip(batch.images[0], batch.texts[0].tolist(), strict=True):
            assert image[:, 0, 0].tolist() == [0, n, 200]  # the captions are the image's
    return {n: long for batch in batches for n, long in batch.texts[0].tolist()}, skipped


def test_keys_are_drawn_for_each_sample_and_epoch(tmp_path: Path) -> None:
    _write(tmp_path)
    alone, skipped = _drawn(tmp_path, batch_size=2)
    usable = [n for n in range(40) if n % 10 != 9]
    assert sorted(alone) == usable and skipped == {"missing caption": 4}
    for n, long in alone.items():
        assert n % 3 == 0 or long == (n % 3 == 2)
    both = [alone[n] for n in usable if n % 3 == 0]
    assert {0, 1} == set(both) and sum(both) > len(both) / 2
    # Not of the reader, its workers or its shuffle; but of seed and epoch.
    ranks = [_drawn(tmp_path, batch_size=2, rank=rank, ranks=2)[0] for rank in (0, 1)]
    together = ranks[0] | ranks[1]
    assert together == {n: alone[n] for n in together} and len(together) > 30
    for other in ({"seed": 1}, {"epoch": 1}):
        assert _drawn(tmp_path, batch_size=2, **other)[0] != alone


def test_both_settings_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="^data.caption_keys=.*set data.caption_key=null$"):
        data_module("x.tar", caption_key="a", caption_keys={"txt": 1})


def test_the_line_for_nothing_usable_names_all_keys(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {f"{n}": {"png": png(n), "json": b"{}"} for n in range(9)})
    with pytest.raises(ValueError, match=r"data.caption_keys: .txt or long.text of .json"):
        epoch_of(tmp_path, caption_keys=KEYS)


def test_an_id_is_that_of_all_captions_in_every_process() -> None:
    first = caption_id({"txt": ["a cat", "cats"]})
    assert first == 0x7022C40279650D3A
    assert first != caption_id({"txt": ["a cat"]})
    assert caption_id({"a": ["x"], "b": ["y"]}) == caption_id({"b": ["y"], "a": ["x"]})
    assert 0 <= first < 2**63


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_with_the_same_captions_have_one_id(tmp_path: Path, workers: int) -> None:
    names = ["cat", "dog", "cat", "cow", "dog", "cat", "owl", "cow"]
    for n, name in enumerate(names):
        captions = json.dumps({"c": [f"a {name} 1", f"1 {name} 1"]}).encode()
        write_tar(tmp_path / f"{n // 4}.tar", {f"{n}": {"png": png(n), "json": captions}}, "a")
    of_name: dict[str, set[int]] = {}
    for batch in epoch_of(tmp_path, caption_key="c", workers=workers):
        assert batch.caption_ids.shape == (1, 4)
        for key, number in zip(batch.keys, batch.caption_ids[0].tolist(), strict=True):
            of_name.setdefault(names[int(key.split("/")[-1])], set()).add(number)
    assert of_name.keys() == set(names)
    assert all(len(ids) == 1 for ids in of_name.values())
    assert len(set.union(*of_name.values())) == 4
