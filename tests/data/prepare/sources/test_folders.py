"""Folders of images as strangers have them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cyclip_pl.data.prepare.items import BadRow, Item
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.folders import folder_source
from tests.data.prepare import pictures


def items(*arguments, **options) -> dict[str, Item]:
    entries = folder_source(*arguments, **options).entries()
    return {entry.image: entry for entry in entries if isinstance(entry, Item)}


def bad(*arguments, **options) -> dict[str, str]:
    entries = folder_source(*arguments, **options).entries()
    return {entry.image: entry.reason for entry in entries if isinstance(entry, BadRow)}


def test_texts_beside_images(tmp_path: Path) -> None:
    found = items(pictures.with_texts(tmp_path, 4))
    assert {image: item.captions for image, item in found.items()} == {
        f"{n}.png": (f"image {n}", f"number {n}") for n in range(4)
    }
    assert {item.load() for item in found.values()} == {pictures.png(n) for n in range(4)}


def test_captions_come_before_classes_but_in_a_classification_set(tmp_path: Path) -> None:
    pictures.class_folders(tmp_path, 3)
    (tmp_path / "dog" / "1.txt").write_text("a dog that runs")
    assert {i.captions for i in items(tmp_path).values()} == {("a dog that runs",)}
    assert set(bad(tmp_path)) == {"black_cat/0.png", "owl/2.png"}
    labels = {i.label for i in items(tmp_path, "classification").values()}
    assert labels == set(pictures.CLASSES)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_as_hugging_face_has_it(tmp_path: Path, name: str) -> None:
    pictures.with_texts(tmp_path / "images", 2)
    rows = [(f"images/{n}.png", f"the text {n}") for n in (0, 1, 1, 5)]
    if name.endswith("csv"):
        lines = ["file_name,text", *(f"{image},{text}" for image, text in rows)]
    else:
        lines = [json.dumps({"file_name": image, "text": text}) for image, text in rows] + ["{no"]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    columns = Columns(caption="text")
    found = items(tmp_path, columns=columns)
    assert {i.captions for i in found.values()} == {
        ("the text 0",),
        ("the text 1",),
        ("the text 5",),
    }
    with pytest.raises(ValueError, match="missing file"):
        found["images/5.png"].load()
    with pytest.raises(ValueError, match=r"--caption-key 'texts': no such .* did you mean text\?"):
        folder_source(tmp_path, columns=Columns(caption="texts"))


def test_what_is_wrong_with_a_text_is_told(tmp_path: Path) -> None:
    texts = {
        "empty.txt": b" \n\n", "latin.txt": b"caf\xe9", "broken.json": b"{",
        "other.json": b'{"title": "x"}', "number.json": b'{"caption": 3}', "fine.txt": b"fine",
    }  # fmt: skip
    for number, (name, text) in enumerate(texts.items()):
        (tmp_path / name).write_bytes(text)
        (tmp_path / name).with_suffix(".png").write_bytes(pictures.png(number))
    (tmp_path / "alone.png").write_bytes(pictures.png(50))
    assert bad(tmp_path) == {
        "empty.png": "empty caption",
        "latin.png": "caption is not UTF-8",
        "broken.png": "caption file is not JSON",
        "other.png": "JSON has no key 'caption'; --caption-key names another",
        "number.png": "caption is not a text",
        "alone.png": "no .txt or .json beside it",
    }
    assert set(items(tmp_path)) == {"fine.png"}


def test_links_hidden_files_and_other_files(tmp_path: Path) -> None:
    folder = pictures.class_folders(tmp_path / "mine", 3)
    pictures.class_folders(tmp_path / "elsewhere", 6, first=3)
    (folder / "linked").symlink_to(tmp_path / "elsewhere" / "dog")
    (folder / "dog" / "up").symlink_to(folder)  # a circle
    (folder / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "dog" / "._1.png").write_bytes(b"macOS")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.png").write_bytes(pictures.png(40))
    (folder / "dog" / "a.HEIC").write_bytes(b"")
    (folder / "dog" / "B.PNG").write_bytes(pictures.png(41))
    (folder / "readme.txt").write_text("read me")
    source = folder_source(folder)
    assert source.note == "2 files that are not images: 1 .heic, 1 .txt"
    assert set(items(folder)) == {
        "black_cat/0.png", "dog/1.png", "owl/2.png", "linked/4.png", "linked/7.png",
        "dog/gone.png", "dog/B.PNG",
    }  # fmt: skip
    with pytest.raises(ValueError, match="^missing file$"):
        items(folder)["dog/gone.png"].load()


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    Path(os.fsdecode(odd), "0.png").write_bytes(pictures.png(0))
    source = folder_source(tmp_path)
    assert source.classnames == ["caf?"]
    (item,) = (entry for entry in source.entries() if isinstance(entry, Item))
    assert item.load() == pictures.png(0) and item.image == "caf?/0.png"


def test_a_change_of_a_text_or_an_image_is_another_source(tmp_path: Path) -> None:
    folder = pictures.with_texts(tmp_path, 3)
    before = folder_source(folder).settings
    assert folder_source(folder).settings == before
    (folder / "0.txt").write_text("image 0\nnumber 9\n")
    texts = folder_source(folder).settings
    (folder / "2.png").write_bytes(pictures.png(2) + b"more")
    assert len({str(s) for s in (before, texts, folder_source(folder).settings)}) == 3


def test_folders_that_do_not_serve_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^--folder .*/none: no such folder$"):
        folder_source(tmp_path / "none")
    with pytest.raises(ValueError, match=r": holds no image, but nothing$"):
        folder_source(tmp_path)
    (tmp_path / "a.heic").touch()
    with pytest.raises(ValueError, match=r": holds no image, but 1 .heic$"):
        folder_source(tmp_path)
    (tmp_path / "a.png").write_bytes(pictures.png(0))
    with pytest.raises(ValueError, match=r": 1 images, but not a folder per class$"):
        folder_source(tmp_path, "classification")
    with pytest.raises(ValueError, match=r": 1 images, but not captions or class folders$"):
        folder_source(tmp_path)
    pictures.class_folders(tmp_path / "split/train", 3)
    with pytest.raises(ValueError, match=r"split: has train and no test$"):
        folder_source(tmp_path / "split", "captions")
