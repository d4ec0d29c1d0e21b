from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.interface import Unusable
from cyclip_pl.images import Undecodable
from tests.helpers.evaluation_sets import caption_set, coded_set, png, write_tar


def test_reads_captions_and_images(tmp_path: Path) -> None:
    captions = [["a cat"], ["ein Hündchen", "a dog"], ["x", "y", "z"]]
    dataset = CaptionSet(caption_set(tmp_path / "pets", captions, broken=[2]))
    assert (dataset.name, len(dataset), dataset.captions) == ("pets", 3, captions)
    assert dataset.image(1).getpixel((0, 0)) == (1, 0, 0)
    assert dataset.key(1) == "s0001"
    with pytest.raises(Undecodable):
        dataset.image(2)
    assert CaptionSet(tmp_path / "pets", name="mine").name == "mine"


def test_lines_are_captions_whatever_their_ends(tmp_path: Path) -> None:
    folder = caption_set(tmp_path / "s", [["a"]], shards=1)
    text = "\ufeff one \r\n\r\n two\n\n".encode()
    write_tar(folder / "test/0.tar", [("a.JPG", png()), ("a.txt", text)])
    (folder / "dataset_type.txt").unlink()
    assert CaptionSet(folder).captions == [["one", "two"]]


def test_a_caption_changes_the_fingerprint(tmp_path: Path) -> None:
    found = {
        CaptionSet(caption_set(tmp_path / f"s{n}", [[caption], ["b"]])).fingerprint
        for n, caption in enumerate(["a", "c", "a"])
    }
    assert len(found) == 2


def _text(data: bytes) -> Callable[[Path], None]:
    return lambda folder: write_tar(folder / "test/1.tar", [("a.png", png()), ("a.txt", data)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_text(b""), r"1\.tar: a\.txt holds no caption$"),
        (_text(b" \n \n"), r"1\.tar: a\.txt holds no caption$"),
        (_text(b"\xff"), r"1\.tar: a\.txt is not UTF-8"),
        (_text(b"a" * 2**21), r"1\.tar: a\.txt holds more than 1048576 bytes$"),
        (
            lambda folder: write_tar(folder / "test/1.tar", [("a.png", png())]),
            r"1\.tar: sample a has an image but no \.txt$",
        ),
        (lambda folder: (folder / "test/1.tar").unlink(), r"1\.tar is missing"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = caption_set(tmp_path / "s", [["a"], ["b"]])
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        CaptionSet(folder)
    assert "\n" not in str(caught.value)


def test_another_kind_or_no_set_says_what_there_is(tmp_path: Path) -> None:
    folder = coded_set(tmp_path / "labels", [0, 0], ["a"])
    with pytest.raises(Unusable, match=r"labels has no captions: it has classnames\.txt and no d"):
        CaptionSet(folder)
    (folder / "dataset_type.txt").write_text("classification\n")
    with pytest.raises(Unusable, match=r"no captions: dataset_type\.txt says 'classification'$"):
        CaptionSet(folder)
    (folder / "dataset_type.txt").unlink()
    (folder / "classnames.txt").unlink()
    with pytest.raises(ValueError, match=r"0\.tar: sample s0000 has an image but no \.txt$"):
        CaptionSet(folder)
    with pytest.raises(ValueError, match=r"no retrieval set at .*absent; sets in .*: labels$"):
        CaptionSet(tmp_path / "absent")
