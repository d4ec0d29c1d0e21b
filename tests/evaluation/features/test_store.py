from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cyclip_pl.evaluation.features.blocks import Rows
from cyclip_pl.evaluation.features.encode import _Preprocessed, _read
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import TinyNet, coded_set, pixels, png
from tests.helpers.models import FeatureNet
from tests.helpers.protocols import one_thread


def opened(folder: Path, samples: int = 13, broken: Sequence[int] = (2, 12)) -> ClassificationSet:
    labels = [n % 3 for n in range(samples)]
    return ClassificationSet(coded_set(folder, labels, ["a", "b", "c"], broken=broken))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_are_the_models_own_in_the_order_of_the_set(tmp_path: Path, batch_size: int) -> None:
    dataset = opened(tmp_path / "s")
    model = FeatureNet().eval()
    images = FeatureStore(model, batch_size).images(dataset, features=True)
    good = [n for n in range(13) if n not in (2, 12)]
    assert images.rows.index_n.tolist() == good
    assert images.total == 11 and images.rows.label_n.tolist() == [n % 3 for n in good]
    assert len(images.blocks) == {1: 11, 4: 3, 100: 1}[batch_size]
    stack = torch.stack([pixels(dataset.image(n)) for n in good])
    with torch.no_grad():
        embedding_ND, feature_NF = model.encode_image_and_features(stack)
    found_ND = images.rows.embedding_nD
    assert torch.allclose(found_ND, embedding_ND, atol=1e-6)
    assert torch.allclose(images.rows.feature_nF, feature_NF, atol=1e-6)
    assert torch.equal(images.rows.probe_nF, images.rows.feature_nF)
    assert not found_ND.requires_grad and found_ND.dtype == torch.float32


def test_a_set_is_encoded_once_for_all_that_open_it(tmp_path: Path) -> None:
    first, again = opened(tmp_path / "s"), ClassificationSet(tmp_path / "s", name="other")
    other = opened(tmp_path / "t", samples=5)
    model = FeatureNet()
    store = FeatureStore(model, batch_size=4)
    assert store.images(first) is store.images(again)
    assert model.images == 13
    assert store.images(other) is not store.images(first)
    assert model.images == 18


@pytest.mark.parametrize("lanes", [1, 3])
def test_an_evaluation_alone_keeps_no_rows(tmp_path: Path, lanes: int) -> None:
    dataset, model = opened(tmp_path / "s", samples=40), FeatureNet()
    store, whole = FeatureStore(model, batch_size=4, lanes=lanes), FeatureStore(model, batch_size=4)
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most, seen = 0, []

    def use(block: Rows) -> None:
        nonlocal most
        alive.add(block.embedding_nD)
        most = max(most, sum(len(rows) for rows in alive))
        seen.append(block.embedding_nD.sum(1))

    store.keep_rows = False
    images = store.each_block(dataset, use)
    assert most <= 3 * 4  # of a batch that comes, one in use and one that goes
    assert images.rows.embedding_nD.shape == (38, 0) and images.rows.feature_nF is None
    kept = whole.images(dataset)
    assert torch.equal(images.rows.index_n, kept.rows.index_n) and images.sizes == kept.sizes
    torch.testing.assert_close(torch.cat(seen), kept.rows.embedding_nD.sum(1))
    before = model.images
    seen.clear()
    assert whole.each_block(dataset, use) is kept  # what is kept serves, without a second pass
    assert model.images == before and len(torch.cat(seen)) == 38


def test_only_an_evaluation_that_shares_nothing_is_alone(tmp_path: Path) -> None:
    folder = str(coded_set(tmp_path / "s", [n % 3 for n in range(13)], ["a", "b", "c"]))
    one, both = FeatureNet(), FeatureNet()
    stores = FeatureStore(one, batch_size=4), FeatureStore(both, batch_size=4)
    alone = run([ZeroShot([folder])], stores[0]).metrics
    shared = run([ZeroShot([folder]), ZeroShot([folder], name="again")], stores[1]).metrics
    assert alone.items() <= shared.items()
    assert [store.keep_rows for store in stores] == [False, True]
    assert one.images == both.images == 13


def test_features_come_in_the_same_pass_when_any_evaluation_needs_them(tmp_path: Path) -> None:
    dataset = opened(tmp_path / "s")

    class Looks:
        def __init__(self, features: bool) -> None:
            self.name, self.count = "looks", 1
            self.needs_features = features

        def open(self) -> None: ...

        def __call__(self, store: FeatureStore) -> Results:
            found = store.images(dataset, features=self.needs_features)
            assert (found.rows.feature_nF is None) == (not store.keep_features)
            return Results()

    for evaluations, features in (([False], False), ([False, True], True)):
        model = FeatureNet()
        store = FeatureStore(model)
        run([Looks(needs) for needs in evaluations], store)
        assert (model.images, store.keep_features) == (13, features)


def test_a_model_without_features_gives_none(tmp_path: Path) -> None:
    model = TinyNet()
    images = FeatureStore(model).images(opened(tmp_path / "s"), features=True)
    assert images.rows.feature_nF is None
    assert torch.equal(images.rows.probe_nF, images.rows.embedding_nD)


def test_texts_are_encoded_once_and_equal_ones_have_equal_rows() -> None:
    model = TinyNet()
    seen: list[str] = []
    encode = model.encode_text
    model.encode_text = lambda texts: seen.extend(texts) or encode(texts)  # type: ignore[method-assign]
    store = FeatureStore(model, batch_size=2)
    texts = ["one", "two", "one", "three", "four", "two"]
    text_KD = store.texts(texts)
    assert seen == ["one", "two", "three", "four"]
    assert torch.equal(text_KD[[0, 1]], text_KD[[2, 5]])
    assert torch.allclose(text_KD, encode(texts), atol=1e-6)
    again_KD = store.texts(["four", "five", "one"])
    assert seen[4:] == ["five"]
    assert torch.equal(again_KD[[0, 2]], text_KD[[4, 0]])


def test_threads_read_what_this_thread_reads(tmp_path: Path) -> None:
    items = _Preprocessed(opened(tmp_path / "s"), pixels)
    batches = [range(5), range(5, 10), range(10, 13)]
    # With a GPU threads read; the pixels themselves are on the CPU.
    threads = list(_read(items, batches, None, torch.device("cuda")))
    here = list(_read(items, batches, 0, torch.device("cpu")))
    assert [list(reasons) for _, reasons in threads] == [list(reasons) for _, reasons in here]
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(threads, here, strict=True))


def test_lanes_give_the_same_rows_without_gradients(tmp_path: Path) -> None:
    dataset, model = opened(tmp_path / "s"), FeatureNet()
    one = FeatureStore(model, batch_size=2).images(dataset, features=True)
    several = FeatureStore(model, batch_size=2, lanes=3).images(dataset, features=True)
    assert several.sizes == one.sizes
    for name, column in one.rows.columns().items():
        torch.testing.assert_close(several.rows.columns()[name], column)
    assert not several.rows.embedding_nD.requires_grad


def test_a_model_in_training_is_left_as_it_was(tmp_path: Path) -> None:
    model = TinyNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    store = FeatureStore(model)
    store.images(opened(tmp_path / "s"))
    store.texts(["a"])
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"batch_size": 0},
            r"^features\.batch_size=0: must be null or a whole number of at least 1$",
        ),
        ({"batch_size": 2.0}, r"^features\.batch_size=2\.0: must be"),
        ({"workers": -1}, r"^features\.workers=-1: must be null or a whole number of at least"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureStore(TinyNet(), **settings)


def _encoded(folder: Path) -> tuple[list[list[Rows]], list[dict], list[Tensor]]:
    store = FeatureStore(FeatureNet(), batch_size=4)
    sets = [ClassificationSet(folder / name) for name in ("s", "few")]
    images = [store.images(dataset, features=True) for dataset in sets]
    columns = [
        of_set.columns(dataset, first=of_set.rows.embedding_nD[:, 0])
        for of_set, dataset in zip(images, sets, strict=True)
    ]
    texts = [f"text {n % 7}" for n in range(11)]
    classifier = store.classifier(["a", "b", "a"], [["a", "an a"], ["b"], ["never"]])
    whole = [store.texts(texts), store.texts(["new", *texts]), classifier.class_KD]
    return [of_set.blocks for of_set in images], columns, whole


def _equal(one: Rows, other: Rows) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


@pytest.mark.slow
def test_ranks_have_the_blocks_of_one_process_in_turn_to_the_last_bit(tmp_path: Path) -> None:
    # 13 images, 3 and 7 texts in batches of 4: no share is equal, and some ranks have none.
    opened(tmp_path / "s"), opened(tmp_path / "few", samples=3, broken=[1])
    with one_thread():
        alone, columns, whole = _encoded(tmp_path)
    assert columns[0]["key"][:3] == ["s0000", "s0001", "s0003"]
    for rank, (blocks, columns_of_rank, whole_of_rank) in enumerate(
        run_distributed(_encoded, 3, tmp_path)
    ):
        for of_set, of_one in zip(blocks, alone, strict=True):
            if expected := of_one[rank::3]:
                assert all(_equal(a, b) for a, b in zip(of_set, expected, strict=True))
            else:
                assert [len(block) for block in of_set] == [0]
        assert columns_of_rank == columns
        assert all(torch.equal(a, b) for a, b in zip(whole, whole_of_rank, strict=True))


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    dataset = opened(tmp_path / "s", samples=4, broken=())
    fingerprint = dataset.fingerprint
    assert ClassificationSet(tmp_path / "s", name="mine").fingerprint == fingerprint
    assert opened(tmp_path / "copy", samples=4, broken=()).fingerprint == fingerprint

    def changed(old: bytes, new: bytes, file: str) -> str:
        assert len(old) == len(new)
        path = tmp_path / "s" / file
        before, times = path.read_bytes(), path.stat()
        assert old in before
        path.write_bytes(before.replace(old, new, 1))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copying tool would
        found = ClassificationSet(tmp_path / "s").fingerprint
        path.write_bytes(before)
        return found

    label = b"0" + bytes(511) + b"s0001.png"
    found = {
        changed(png(0)[41:50], png(200)[41:50], "test/0.tar"),
        changed(label, b"2" + label[1:], "test/0.tar"),
        changed(b"b", b"d", "classnames.txt"),
        changed(b"a picture", b"o picture", "zeroshot_classification_templates.txt"),
    }
    assert len(found | {fingerprint}) == 5
    assert ClassificationSet(tmp_path / "s").fingerprint == fingerprint
