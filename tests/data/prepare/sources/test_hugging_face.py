"""Data sets of Hugging Face's `datasets`, from folders: nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.data.prepare import core
from cyclip_pl.data.prepare.items import BadRow, Item
from cyclip_pl.data.prepare.plan import Plan
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.hugging_face import HuggingFace
from tests.data.prepare import pictures
from tests.data.prepare.reading import tree

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """What `save_to_disk` writes: encoded images, captions, classes."""
    features = datasets.Features(
        image=datasets.Image(),
        caption=[datasets.Value("string")],
        label=datasets.ClassLabel(names=["cat", "dog", "owl"]),
    )
    rows = {
        "image": [{"bytes": pictures.png(n), "path": None} for n in range(20)],
        "caption": [[f"image {n}", f"number {n}"] for n in range(20)],
        "label": [n % 3 for n in range(20)],
    }
    rows_of = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict(train=rows_of).save_to_disk(str(tmp_path / "saved"))
    return str(tmp_path / "saved")


@pytest.fixture
def streamed(tmp_path: Path) -> str:
    """A folder of parquet files, as on the Hub."""
    for number in range(2):
        name = f"train-0000{number}-of-00002.parquet"
        pictures.parquet(tmp_path / "hub" / "data" / name, 10)
    return str(tmp_path / "hub")


def test_saved_rows_are_shuffled_and_their_images_are_as_they_were(saved: str) -> None:
    source = HuggingFace(saved)
    items = {e.number: e for e in source.entries() if isinstance(e, Item)}
    assert source.total == 20 and sorted(items) == list(range(20)) != list(items)
    assert all(item.load() == pictures.png(number) for number, item in items.items())
    assert items[7].captions == ("image 7", "number 7")


def test_classes_are_those_of_the_data_set(saved: str) -> None:
    source = HuggingFace(saved, columns=Columns(label="label"))
    assert source.classnames == ["cat", "dog", "owl"] and source.labels == ["0", "1", "2"]
    assert {e.label for e in source.entries() if isinstance(e, Item)} == {"0", "1", "2"}


def test_an_image_folder_is_read_as_datasets_reads_it(tmp_path: Path) -> None:
    pictures.class_folders(tmp_path / "mine", 9)
    source = HuggingFace(str(tmp_path / "mine"), columns=Columns(label="label"))
    assert source.classnames == sorted(pictures.CLASSES)
    content = {e.load() for e in source.entries() if isinstance(e, Item)}
    assert content == {pictures.png(number) for number in range(9)}


@pytest.mark.parametrize("kind", ["saved", "streamed"])
def test_a_start_in_the_middle(kind: str, request: pytest.FixtureRequest) -> None:
    source = HuggingFace(request.getfixturevalue(kind))

    def texts(start: int) -> list[tuple[str, ...]]:
        return [e.captions for e in source.entries(start) if isinstance(e, Item)]

    assert len(texts(0)) == 20 and texts(13) == texts(0)[13:]


def test_the_same_bytes_twice_from_a_stream(streamed: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        core.prepare(HuggingFace(streamed), tmp_path / name, Plan(shard_size=6))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_number_that_is_not_known_is_asked_for(streamed: str, tmp_path: Path) -> None:
    source = HuggingFace(streamed)
    assert source.total is None
    with pytest.raises(ValueError, match=r"^--holdout 5: .* give a share such as 0\.05$"):
        core.prepare(source, tmp_path / "out", Plan(holdout=5))
    report = core.prepare(source, tmp_path / "out", Plan(holdout=0.3))
    assert report is not None and set(report.samples) == {"train", "captions/test"}


def test_code_of_a_data_set_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match=r"^--dataset ") as error:
        HuggingFace(str(folder))
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


def test_what_is_not_there_is_one_line(saved: str, streamed: str) -> None:
    for message, arguments in {
        r"--split=tset: must be one of train$": (saved, "tset"),
        r"--split=test: must be one of train$": (streamed, "test"),
        r"^--dataset some/thing: ": ("some/thing",),
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            HuggingFace(*arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"^--caption-key 'text': no such column in"):
        HuggingFace(saved, columns=Columns(caption="text"))
    bad = HuggingFace(saved, columns=Columns(image="label")).entries()
    assert all(isinstance(entry, BadRow) and entry.reason == "no image" for entry in bad)
