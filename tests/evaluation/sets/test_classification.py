from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.images import Undecodable
from tests.helpers.evaluation_sets import coded_set, png, write_set, write_tar


def test_reads_labels_names_and_images(tmp_path: Path) -> None:
    coded_set(tmp_path / "digits", [2, 0, 1, 2, 300 % 3], ["zero", "one", "two"], shards=2)
    dataset = ClassificationSet(tmp_path / "digits")
    assert dataset.name == "digits"
    assert ClassificationSet(tmp_path / "digits", name="other").name == "other"
    assert dataset.classnames == ["zero", "one", "two"]
    assert dataset.templates == ["{c}", "a picture of {c}"]
    assert torch.equal(dataset.label_N, torch.tensor([2, 0, 1, 2, 0]))
    assert [dataset.image(n).getpixel((3, 3))[0] for n in (4, 0, 2)] == [4, 0, 2]


def test_any_image_suffix_and_mode(tmp_path: Path) -> None:
    shard: list[tuple[str, bytes]] = []
    for n, (suffix, kind, mode) in enumerate(
        [
            ("png", "PNG", "RGBA"),
            ("JPG", "JPEG", "L"),
            ("jpeg", "JPEG", "CMYK"),
            ("webp", "WEBP", "RGB"),
        ]
    ):
        buffer = io.BytesIO()
        Image.new(mode, (5, 7)).save(buffer, kind)
        shard += [(f"{n}.{suffix}", buffer.getvalue()), (f"{n}.cls", b" 0\n")]
    dataset = ClassificationSet(write_set(tmp_path / "s", [shard], ["a"]))
    assert len(dataset) == 4
    for n in range(4):
        assert dataset.image(n).size == (5, 7)


def test_a_sample_without_an_image_stays_and_stray_files_do_not(tmp_path: Path) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    shard = [
        ("a.cls", b"0"),
        ("notes.txt", b"neither image nor class"),
        ("b.png", png()[:45]),
        ("b.cls", b"0"),
        ("c.png", eps),
        ("c.cls", b"0"),
    ]
    dataset = ClassificationSet(write_set(tmp_path / "s", [shard], ["x"]))
    assert len(dataset) == 3
    for n, reason in enumerate(["no image", "runcated", "not an image of these kinds: JPEG, PNG"]):
        with pytest.raises(Undecodable, match=reason):
            dataset.image(n)
        assert f"0.tar, sample {'abc'[n]}" in dataset.where(n)


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, text: str | bytes) -> Callable[[Path], None]:
    data = text.encode() if isinstance(text, str) else text

    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return write


def _shard(*files: tuple[str, bytes]) -> Callable[[Path], None]:
    return lambda folder: write_tar(folder / "test/1.tar", files)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without("classnames.txt"), r"good has no classes: classnames\.txt is missing$"),
        (_with("classnames.txt", ""), r"classnames\.txt is empty"),
        (_with("classnames.txt", "a\n\nb\n"), r"classnames\.txt, line 2, is empty"),
        (_with("classnames.txt", b"a\n\xff\n"), r"classnames\.txt is not UTF-8"),
        (_with("classnames.txt", "a\n"), r"0\.tar: s0001\.cls says class 1; .* 0 to 0$"),
        (_with("zeroshot_classification_templates.txt", "a {}\n"), r"no \{c\} in .*'a \{\}'"),
        (_with("zeroshot_classification_templates.txt", "\n"), r"templates\.txt is empty"),
        (
            _with("dataset_type.txt", "retrieval\n"),
            r"good has no classes: dataset_type\.txt says 'retrieval'$",
        ),
        (_without("test/nshards.txt"), r"test/nshards\.txt is missing"),
        (_with("test/nshards.txt", "-1"), r"nshards\.txt must hold the number .*'-1'"),
        (_with("test/nshards.txt", "3"), r"test/2\.tar is missing: .*says 3 shards"),
        (_with("test/nshards.txt", "0"), r"good/test holds no samples"),
        (_shard(("a.png", png())), r"1\.tar: sample a has an image but no \.cls"),
        (_shard(("a.png", png()), ("a.cls", b"1.0")), r"a\.cls must hold a class number.*1\.0"),
        (_shard(("a.png", png()), ("a.cls", b"")), r"a\.cls must hold a class number"),
        (_shard(("a.png", png()), ("a.cls", b"-1")), r"a\.cls says class -1;"),
        (_shard(("a.png", png()), ("a.cls", b"1" * 99)), r"a\.cls says class 1111"),
        (_with("test/1.tar", b"no tar"), r"1\.tar is not a readable tar"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = coded_set(tmp_path / "good", [0, 1, 1, 0], ["a", "b"])
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        ClassificationSet(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_set_or_split_says_what_there_is(tmp_path: Path) -> None:
    for name in ("b_set", "a_set"):
        coded_set(tmp_path / name, [0], ["a"], shards=1)
    (tmp_path / "not_a_set").mkdir()
    with pytest.raises(ValueError, match=r"at .*c_set; sets in .*: a_set, b_set$"):
        ClassificationSet(tmp_path / "c_set")
    with pytest.raises(ValueError, match=r"a_set has no split 'val'; it has: test$"):
        ClassificationSet(tmp_path / "a_set", split="val")
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere$"):
        ClassificationSet(tmp_path / "nowhere/c_set")


def test_files_with_a_byte_order_mark_and_without_templates(tmp_path: Path) -> None:
    folder = coded_set(tmp_path / "s", [0], ["ä"], shards=1)
    (folder / "classnames.txt").write_bytes("\ufeffä \r\nb\r\n\r\n".encode())
    (folder / "zeroshot_classification_templates.txt").unlink()
    dataset = ClassificationSet(folder)
    assert dataset.classnames == ["ä", "b"]
    assert dataset.templates is None
    shutil.rmtree(folder)


def test_a_shard_that_changes_behind_an_open_set_is_an_error(tmp_path: Path) -> None:
    folder = coded_set(tmp_path / "s", [0, 1], ["a", "b"], shards=1)
    dataset = ClassificationSet(folder)
    dataset.image(1)
    write_tar(folder / "test/0.tar", [("long" * 50 + ".png", png()), ("x.cls", b"0")])
    with pytest.raises(ValueError, match=r"0\.tar has changed since"):
        dataset.image(1)
