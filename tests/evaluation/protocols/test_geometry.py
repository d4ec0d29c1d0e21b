from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols import geometry
from cyclip_pl.evaluation.protocols.geometry import Geometry
from cyclip_pl.evaluation.results import Results
from tests.helpers.evaluation_sets import TableModel, caption_set
from tests.helpers.protocols import table, write_sets


def of(results: Results, name: str) -> dict[str, float]:
    prefix = f"{name}/geometry/"
    return {k.removeprefix(prefix): v for k, v in results.metrics.items() if k.startswith(prefix)}


def common(image_ND: Tensor, text_ND: Tensor) -> dict[str, float]:
    """What both kinds of sets have, in float64."""
    image, text = image_ND.double(), text_ND.double()
    crossed = image @ text.T
    ranks = {}
    for name, x in (("image", image), ("text", text)):
        share = torch.linalg.svdvals(x)
        share = share / share.sum()
        ranks[f"{name}_effective_rank"] = torch.special.entr(share).sum().exp().item()
    return {
        "modality_gap": (image.mean(0) - text.mean(0)).norm().item(),
        "in_modal_inconsistency": (image @ image.T - text @ text.T).square().sum().item()
        / len(image),
        "cross_modal_inconsistency": (crossed - crossed.T).square().sum().item() / len(image),
        **ranks,
    }


@pytest.mark.parametrize(("batch_size", "width"), [(4, 8), (256, 8), (4, 40)])
def test_a_labelled_set_equals_the_formulas(tmp_path: Path, batch_size: int, width: int) -> None:
    labels = [n * 5 % 6 for n in range(29)]
    generator = torch.Generator().manual_seed(1)
    image_ND = normalize(torch.randn(31, width, generator=generator), dim=1)
    text_KD = normalize(torch.randn(6, width, generator=generator), dim=1)
    folder = write_sets(tmp_path, labels, [0, 1], broken=[3])
    store = FeatureStore(table(image_ND, text_KD), batch_size=batch_size)
    results = Geometry([str(folder / "s")])(store)
    kept = [n for n in range(29) if n != 3]
    image, text = image_ND[kept].double(), text_KD[[labels[n] for n in kept]].double()
    off_N = (-image @ text.T).exp().fill_diagonal_(0)
    expected = {
        "alignment": (image * text).sum(1).mean().item(),
        "uniformity": math.log(off_N.sum().item() / (28 * 27)),
        **common(image, text),
        "samples": 28,
    }
    assert of(results, "s") == pytest.approx(expected, rel=1e-6)
    details = results.details["s/geometry"]
    assert sum(details["similarity"]["true"]) == 28
    assert sum(details["similarity"]["other"]) == 28 * 5
    both = torch.cat([image, text_KD.double()])
    variance_D = torch.linalg.svdvals(both - both.mean(0)).square()
    share = (variance_D / variance_D.sum())[:2].tolist()
    assert details["pca"]["variance"] == pytest.approx(share)
    point_N2 = torch.tensor(details["pca"]["image"] + details["pca"]["text"], dtype=torch.float64)
    assert point_N2.shape == (34, 2) and point_N2.mean(0).abs().max() < 1e-6
    spread_2 = point_N2.square().sum(0) / variance_D.sum()
    assert spread_2.tolist() == pytest.approx(share)


def test_a_set_of_captioned_images_equals_the_formulas(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    image_ND, text_ND = (normalize(torch.randn(19, 8, generator=generator), dim=1) for _ in "it")
    captions = [[f"caption {n}", "more"] for n in range(19)]
    texts = {f"caption {n}": row for n, row in enumerate(text_ND)} | {"more": text_ND[0]}
    folder = caption_set(tmp_path / "c", captions, broken=[0, 18])
    store = FeatureStore(TableModel(image_ND, texts), batch_size=4)
    image, text = image_ND[1:18].double(), text_ND[1:18].double()
    before_NN = torch.cdist(image, text).square().mul(-2).exp().tril(-1)
    expected = {
        "alignment": (image - text).square().sum(1).mean().item(),
        "uniformity": math.log(before_NN.sum().item() / (17 * 16 / 2)),
        **common(image, text),
        "samples": 17,
    }
    assert of(Geometry([str(folder)])(store), "c") == pytest.approx(expected, rel=1e-6)


def test_many_wide_rows_have_no_metrics_of_matrices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(geometry, "_WIDEST", 7)
    folder = write_sets(tmp_path, [0, 1, 2], [0, 1])
    store = FeatureStore(table(torch.eye(8), torch.eye(8)))
    results = Geometry([str(folder / "s")])(store)
    assert set(of(results, "s")) == {"alignment", "uniformity", "modality_gap", "samples"}
    assert "pca" not in results.details["s/geometry"]
    assert "images and texts and their 8 dimensions are more than 7" in caplog.text


def test_one_image_has_no_geometry(tmp_path: Path) -> None:
    folder = write_sets(tmp_path, [0, 1], [0, 1], broken=[1])
    store = FeatureStore(table(torch.eye(6), torch.eye(6)))
    assert of(Geometry([str(folder / "s")])(store), "s") == {"samples": 1}


def test_a_diverged_model_has_metrics_that_say_so(tmp_path: Path) -> None:
    folder = write_sets(tmp_path, [0, 1, 2], [0, 1])
    nan = torch.full((6, 6), math.nan)
    results = Geometry([str(folder / name) for name in ("s", "c")])(FeatureStore(table(nan, nan)))
    for name in ("s", "c"):
        found = of(results, name)
        assert found.pop("samples") == 3
        assert all(math.isnan(value) for value in found.values()), found
        assert "pca" not in results.details[f"{name}/geometry"]


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^evaluation\.geometry\.datasets\b"):
        Geometry([3])
    with pytest.raises(ValueError, match=r"^evaluation\.geometry\.datasets: "):
        Geometry([str(tmp_path / "absent")]).open()
