from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features import cache
from cyclip_pl.evaluation.features.blocks import EncodedImages, Rows
from cyclip_pl.evaluation.features.cache import FeatureCache, model_fingerprint
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import TableModel, coded_set, pixels, png, write_tar
from tests.helpers.models import FeatureNet
from tests.helpers.protocols import one_thread


@pytest.fixture
def dataset(tmp_path: Path) -> ClassificationSet:
    return ClassificationSet(coded_set(tmp_path / "s", [0, 1, 1, 0, 1], ["a", "b"], broken=[3]))


def images(model: FeatureNet, dataset: ClassificationSet, folder: Path) -> EncodedImages:
    return FeatureStore(model, batch_size=2, cache=folder).images(dataset, features=True)


def encoded(model: FeatureNet, dataset: ClassificationSet, folder: Path) -> int:
    """How many images were encoded for a set, the two probes of the fingerprint aside."""
    before = model.images
    images(model, dataset, folder)
    return model.images - before - 2


def test_a_second_run_encodes_nothing_and_finds_the_same(
    tmp_path: Path, dataset: ClassificationSet
) -> None:
    first = images(FeatureNet(), dataset, tmp_path / "cache")
    model = FeatureNet()
    again = images(model, ClassificationSet(tmp_path / "s", name="mine"), tmp_path / "cache")
    assert model.images == 2
    assert again.rows.index_n.tolist() == [0, 1, 2, 4]
    assert again.rows.label_n.tolist() == [0, 1, 1, 1]
    for name in ("embedding_nD", "feature_nF"):
        assert torch.equal(getattr(first.rows, name), getattr(again.rows, name))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def _weight(model: FeatureNet) -> None:
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nextafter(model.head.weight[0, 0], torch.tensor(9.0))


def _text_tower(model: FeatureNet) -> None:
    with torch.no_grad():
        model.text.weight[5] += 1


def _buffer(model: FeatureNet) -> None:
    model.image[1].running_mean[2] += 1e-3


def _buffer_that_is_not_saved(model: FeatureNet) -> None:
    model.register_buffer("mean", torch.ones(3), persistent=False)


def _structure(model: FeatureNet) -> None:
    model.image[2] = nn.ReLU6()


def _attribute(model: FeatureNet) -> None:
    model.image[1].eps = 1e-2


def _shrunk(image: Image.Image) -> torch.Tensor:
    return pixels(image.resize((8, 8), Image.Resampling.BOX))


def _preprocessing(model: FeatureNet) -> None:
    model.preprocess = _shrunk  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "change",
    [
        _weight,
        _text_tower,
        _buffer,
        _buffer_that_is_not_saved,
        _structure,
        _attribute,
        _preprocessing,
    ],
)
def test_whatever_changes_in_the_model_changes_the_key(change: Callable) -> None:
    model = FeatureNet()
    before = model_fingerprint(model)
    assert model_fingerprint(FeatureNet()) == before
    change(model)
    assert model_fingerprint(model) != before


def test_an_attribute_that_no_description_shows_changes_the_key() -> None:
    class Scaled(FeatureNet):
        gain = 1.0

        def encode_image_and_features(self, images):
            embedding_ND, feature_NF = super().encode_image_and_features(images)
            return embedding_ND, self.gain * feature_NF

    model = Scaled()
    before = model_fingerprint(model)
    model.gain = 2.0
    assert model_fingerprint(model) != before


def test_a_fingerprint_leaves_the_model_in_training() -> None:
    model = FeatureNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model_fingerprint(model)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_other_weights_pixels_labels_or_batches_are_computed_again(
    tmp_path: Path, dataset: ClassificationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    model = FeatureNet()
    assert encoded(model, dataset, folder) == 5
    assert encoded(model, dataset, folder) == 0
    assert encoded(FeatureNet(seed=1), dataset, folder) == 5
    _weight(model)
    assert encoded(model, dataset, folder) == 5

    shard = tmp_path / "s/test/0.tar"
    for old, new in ((b"1" + bytes(511), b"0" + bytes(511)), (png(2)[41:50], png(9)[41:50])):
        before = shard.read_bytes()
        shard.write_bytes(before.replace(old, new, 1))
        assert shard.stat().st_size == len(before) and shard.read_bytes() != before
        assert encoded(model, ClassificationSet(tmp_path / "s"), folder) == 5
        assert encoded(model, ClassificationSet(tmp_path / "s"), folder) == 0

    path = FeatureCache(folder, model, 2).path(dataset.fingerprint)
    assert path.is_file()
    assert not FeatureCache(folder, model, 3).path(dataset.fingerprint).exists()
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert not FeatureCache(folder, model, 2).path(dataset.fingerprint).exists()


def test_a_shard_rewritten_behind_an_open_set_has_no_fingerprint(
    tmp_path: Path, dataset: ClassificationSet
) -> None:
    write_tar(tmp_path / "s/test/0.tar", [("long" * 30 + ".png", png()), ("a.cls", b"0")])
    with pytest.raises(ValueError, match=r"0\.tar has changed since"):
        images(FeatureNet(), dataset, tmp_path / "cache")


def test_features_that_were_not_stored_are_computed_and_stored(
    tmp_path: Path, dataset: ClassificationSet
) -> None:
    folder = tmp_path / "cache"
    model = FeatureNet()
    FeatureStore(model, batch_size=2, cache=folder).images(dataset)
    assert encoded(model, dataset, folder) == 5
    assert encoded(model, dataset, folder) == 0
    # What has more than was asked for serves as well.
    before = model.images
    FeatureStore(model, batch_size=2, cache=folder).images(dataset)
    assert model.images == before + 2


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x80\x04garbage")


def _no_digest(path: Path) -> None:
    save_file(load_file(path), path)


def _other_rows(path: Path) -> None:
    tensors = load_file(path)
    tensors["index_n"] = tensors["index_n"].flip(0)
    save_file(tensors, path, metadata={"sha256": "0" * 64})


@pytest.mark.parametrize("damage", [_cut, _flip_a_bit, _garbage, _no_digest, _other_rows])
def test_a_damaged_file_is_computed_again(
    tmp_path: Path,
    dataset: ClassificationSet,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    folder = tmp_path / "cache"
    first = images(FeatureNet(), dataset, folder)
    (path,) = folder.iterdir()
    damage(path)
    model = FeatureNet()
    with caplog.at_level(logging.WARNING):
        assert encoded(model, dataset, folder) == 5
    assert f"{path} is damaged" in caplog.text
    again = images(model, dataset, folder)
    assert torch.equal(again.rows.embedding_nD, first.rows.embedding_nD)
    assert encoded(model, dataset, folder) == 0


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureCache(tmp_path, FeatureNet(), 2)

    def rows(value: float) -> Rows:
        return Rows(torch.full((1, 2), value), torch.tensor([0]), torch.tensor([0]))

    store.write("set", rows(1), {0: 1})

    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write("set", rows(0), {0: 1})
    found = store.read("set", [0], features=False)
    assert found is not None and torch.equal(found[0].embedding_nD, torch.ones(1, 2))
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_cached_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^features\.cache=.*file: File exists$"):
        FeatureStore(FeatureNet(), cache=tmp_path / "file")
    model = TableModel(torch.eye(2), {})
    with pytest.raises(ValueError, match=r"^features\.cache must be null: a TableModel does not"):
        FeatureStore(model, cache=tmp_path)


def _of_rank(folder: Path, cache: str) -> tuple[list[Rows], int]:
    """This rank's blocks, and how many images it encoded; `{}` in the folder is its number."""
    model = FeatureNet()
    found = images(model, ClassificationSet(folder / "s"), folder / cache.format(rank()))
    return found.blocks, model.images - 2


def _with_one_thread(folder: Path, cache: str) -> list[Rows]:
    with one_thread():
        return _of_rank(folder, cache)[0]


def _same(blocks: list[Rows], others: list[Rows]) -> bool:
    return all(
        torch.equal(one.probe_nF, other.probe_nF) and torch.equal(one.index_n, other.index_n)
        for one, other in zip(blocks, others, strict=True)
    )


@pytest.mark.slow
def test_any_number_of_ranks_reads_what_another_number_wrote(
    tmp_path: Path, dataset: ClassificationSet
) -> None:
    alone = _with_one_thread(tmp_path, "one")
    for number, (blocks, encoded) in enumerate(run_distributed(_of_rank, 2, tmp_path, "one")):
        assert encoded == 0 and _same(blocks, alone[number::2])
    for number, (blocks, encoded) in enumerate(run_distributed(_of_rank, 3, tmp_path, "three")):
        assert encoded > 0 and _same(blocks, alone[number::3])
    model = FeatureNet()
    assert _same(images(model, dataset, tmp_path / "three").blocks, alone) and model.images == 2


@pytest.mark.slow
def test_ranks_that_do_not_all_have_the_file_compute_it_together(
    tmp_path: Path, dataset: ClassificationSet
) -> None:
    # The disks of two machines: only the first has the features, then each its own.
    alone = _with_one_thread(tmp_path, "disk0")
    for encodes in (True, False):
        for number, (blocks, encoded) in enumerate(
            run_distributed(_of_rank, 2, tmp_path, "disk{}")
        ):
            assert (encoded > 0) == encodes and _same(blocks, alone[number::2])
