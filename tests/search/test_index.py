"""Embeddings on disk: made once, after a kill, after a change, for several models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cyclip_pl.search import index
from cyclip_pl.search.index import image_rows, index_folder, text_rows
from cyclip_pl.search.kept import listing_folder, open_listing
from cyclip_pl.search.listing import Listing, make_listing
from cyclip_pl.search.shards import find_shards
from tests.helpers.evaluation_sets import coded_set
from tests.search.models import ColourNet, engine_of


@pytest.fixture
def listing(world: Path, tmp_path: Path) -> Listing:
    return make_listing(find_shards([f"{world}/train"], tmp_path))


def test_rows_are_the_models(listing: Listing, tmp_path: Path) -> None:
    model = ColourNet()
    row_ND = image_rows(model, listing, tmp_path, batch_size=7)
    assert row_ND.dtype == np.float16 and isinstance(row_ND, np.memmap)
    text_UD = text_rows(model, listing.texts, tmp_path, batch_size=5)
    model.eval()
    with torch.no_grad():
        pixels = torch.stack([model.preprocess(listing.image(i)) for i in range(len(listing))])
        assert np.array_equal(row_ND, model.encode_image(pixels).half())
        assert np.array_equal(text_UD, model.encode_text(listing.texts).half())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_start_encodes_nothing(world: Path, tmp_path: Path, workers: int) -> None:
    for encoded in (96, 0):
        model = ColourNet()
        folder = listing_folder([f"{world}/train"], tmp_path)
        folder.mkdir(exist_ok=True)
        listing = open_listing([f"{world}/train"], folder)
        own = index_folder(model, listing, folder)
        model.images = model.texts = 0
        image_rows(model, listing, own, workers=workers)
        text_rows(model, listing.texts, own)
        assert (model.images, model.texts) == (encoded, 12 if encoded else 0)


def test_a_kill_loses_at_most_a_block(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "BLOCK", 16)
    whole = np.array(image_rows(ColourNet(), listing, tmp_path / "whole", batch_size=4))
    model = ColourNet()
    model.ends_at = 40
    with pytest.raises(KeyboardInterrupt):
        image_rows(model, listing, tmp_path / "own", batch_size=4)
    assert not (tmp_path / "own" / "images.npy").exists()
    parts = tmp_path / "own" / "images.parts"
    assert sorted(path.name for path in parts.iterdir()) == ["000000000.npy", "000000016.npy"]
    (parts / "000000016.npy").write_bytes(b"damaged")
    again = ColourNet()
    row_ND = image_rows(again, listing, tmp_path / "own", batch_size=4)
    assert again.images == 96 - 16
    assert np.array_equal(row_ND, whole)
    assert not parts.exists()


def test_damaged_rows_are_made_again(listing: Listing, tmp_path: Path) -> None:
    whole = np.array(image_rows(ColourNet(), listing, tmp_path))
    for damaged in (b"", (tmp_path / "images.npy").read_bytes()[:-9], b"junk" * 99):
        (tmp_path / "images.npy").write_bytes(damaged)
        assert np.array_equal(image_rows(ColourNet(), listing, tmp_path), whole)


def test_a_model_has_rows_of_its_own(listing: Listing, tmp_path: Path) -> None:
    class OtherWords(ColourNet):
        @staticmethod
        def tokenizer(texts):
            return ColourNet.tokenizer(texts) + 1

    OtherWords.__name__ = "ColourNet"
    folders = [
        index_folder(m, listing, tmp_path)
        for m in (ColourNet(), ColourNet(), ColourNet(0.1), OtherWords())
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3
    stamped = [listing.shards[0]._replace(stamp=(1, 1)), *listing.shards[1:]]
    listing.shards = stamped
    assert index_folder(ColourNet(), listing, tmp_path) not in folders


def test_broken_images_are_not_found(tmp_path: Path) -> None:
    coded_set(tmp_path / "set", [0] * 6, ["red"], broken=[1, 4])
    engine = engine_of(tmp_path / "set", tmp_path / "cache")
    assert np.isnan(engine.sides[0].image_ND).all(1).tolist() == [i in (1, 4) for i in range(6)]
    found = engine.by_text("red", 10)["models"][0]["images"]
    assert sorted(image["id"] for image in found) == [0, 2, 3, 5]
    assert engine.about()["undecodable"] == 2
    assert [image["id"] for image in engine.about()["some"]] == [0, 2, 3, 5]
    assert engine.by_image(1, 3)["models"][0]["images"] == []


def test_few_broken_images_are_named(tmp_path: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(index, "BLOCK", 2)
    coded_set(tmp_path / "set", [0] * 12, ["red"], broken=range(1, 12))
    engine_of(tmp_path / "set", tmp_path / "cache")
    assert caplog.text.count("skipped, ") == 3 and "sample s0001: skipped" in caplog.text


def test_only_broken_images(tmp_path: Path) -> None:
    coded_set(tmp_path / "set", [0] * 3, ["red"], broken=[0, 1, 2])
    engine = engine_of(tmp_path / "set", tmp_path / "cache")
    assert engine.by_text("red", 10)["models"][0]["images"] == []


def test_no_captions(listing: Listing, tmp_path: Path) -> None:
    assert text_rows(ColourNet(), [], tmp_path).shape[0] == 0


def test_changed_shards_are_listed_and_encoded_again(tmp_path: Path, capsys) -> None:
    coded_set(tmp_path / "set", [0, 1, 0], ["red", "blue"])
    engine_of(tmp_path / "set", tmp_path / "cache")
    old = {path for path in tmp_path.glob("cache/*/*") if path.is_dir()}
    assert len(old) == 1 and not capsys.readouterr().out
    coded_set(tmp_path / "more", [0, 1, 0, 1], ["red", "blue"])
    for path in (tmp_path / "more/test").iterdir():
        path.replace(tmp_path / "set/test" / path.name)
    assert len(engine_of(tmp_path / "set", tmp_path / "cache").listing) == 4
    assert capsys.readouterr().out == "the shards have changed: the index is built again\n"
    # What belonged to the old shards is gone.
    new = {path for path in tmp_path.glob("cache/*/*") if path.is_dir()}
    assert len(new) == 1 and not new & old


def test_the_place_does_not_depend_on_how_it_is_typed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert listing_folder(["a/../b"], tmp_path) == listing_folder([f"{tmp_path}/b"], tmp_path)
    several = [listing_folder(["b"], tmp_path, *more) for more in ((), ("x",), (None, 3))]
    assert len(set(several)) == 3
