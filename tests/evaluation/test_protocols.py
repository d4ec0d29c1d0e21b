"""The evaluations on the feature store: perfect, random and diverged models, ranks, settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Evaluation, run
from cyclip_pl.evaluation.protocols.consistency import Consistency
from cyclip_pl.evaluation.protocols.geometry import Geometry
from cyclip_pl.evaluation.protocols.hierarchy import Hierarchy
from cyclip_pl.evaluation.protocols.knn import KNN
from cyclip_pl.evaluation.protocols.linear_probe import LinearProbe
from cyclip_pl.evaluation.protocols.robustness import Robustness
from cyclip_pl.evaluation.results import Results
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import TEMPLATES, TableModel, caption_set, coded_set
from tests.helpers.loops import naive_majority, naive_nearest
from tests.helpers.models import FeatureNet

CLASSES = [f"class {k}" for k in range(6)]


def write_sets(
    folder: Path, test: Sequence[int], train: Sequence[int], broken: Sequence[int] = ()
) -> Path:
    """`s` with the splits test and train, `t` of the test images, `c` of captions, a hierarchy."""
    coded_set(folder / "s", test, CLASSES, broken=broken)
    coded_set(folder / "s", train, CLASSES, split="train", first=len(test), broken=broken[:1])
    coded_set(folder / "t", test, CLASSES)
    caption_set(folder / "c", [[f"class {label}", "another"] for label in test])
    (folder / "h.json").write_text(json.dumps({"even": CLASSES[::2], "odd": CLASSES[1::2]}))
    return folder


def evaluations(folder: Path) -> list[Evaluation]:
    s, t = str(folder / "s"), str(folder / "t")
    return [
        Consistency([s], ks=[1, 3, 10]),
        KNN([s], ks=[1, 5]),
        LinearProbe([s], shots=[2, 5], seeds=[0, 1]),
        Hierarchy([s, t], str(folder / "h.json")),
        Geometry([s], [str(folder / "c")]),
        Robustness(s, [t], baselines={"t": {"slope": 1, "intercept": 0}}),
    ]


def table(image_ND: Tensor, text_KD: Tensor) -> TableModel:
    texts = {
        template.replace("{c}", name): text_KD[k]
        for k, name in enumerate(CLASSES)
        for template in TEMPLATES
    }
    return TableModel(image_ND, texts | {"another": text_KD[0]})


def shares(results: Results) -> dict[str, float]:
    """The metrics of hits, without bounds and spreads."""
    starts = ("k", "weighted", "majority", "fine", "coarse", "accuracy", "adamw", "lbfgs")
    return {
        name: value
        for name, value in results.metrics.items()
        if name.split("/")[2].startswith(starts)
        and not name.endswith(("_low", "_high", "_std", "_l2"))
    }


def test_perfect_embeddings_score_one(tmp_path: Path) -> None:
    # The AdamW probe takes few and small steps: it needs some hundred images.
    test, train = [n % 6 for n in range(48)], [n * 5 % 6 for n in range(300)]
    model = table(one_hot(torch.tensor(test + train), 6).float(), torch.eye(6))
    results = run(evaluations(write_sets(tmp_path, test, train)), FeatureStore(model))
    assert len(shares(results)) > 20
    assert shares(results) == pytest.approx(dict.fromkeys(shares(results), 1.0))
    assert results.metrics["t/robustness/drop"] == 0
    assert results.metrics["s/geometry/alignment"] == 1
    assert results.metrics["c/geometry/alignment"] == 0
    assert results.metrics["c/geometry/modality_gap"] == 0
    assert results.metrics["s/consistency/train_samples"] == 300


def test_random_embeddings_score_at_chance(tmp_path: Path) -> None:
    test, train = [n % 6 for n in range(1500)], [n % 6 for n in range(900)]
    generator = torch.Generator().manual_seed(0)
    image_ND = normalize(torch.randn(2400, 12, generator=generator), dim=1)
    text_KD = normalize(torch.randn(6, 12, generator=generator), dim=1)
    every = evaluations(write_sets(tmp_path, test, train))
    results = run(every, FeatureStore(table(image_ND, text_KD)))
    chance = {"fine_acc1": 1 / 3, "fine_acc2": 2 / 3, "coarse_acc1": 1 / 2, "coarse_acc2": 1}
    for name, value in shares(results).items():
        expected = chance.get(name.split("/")[2], 1 / 6)
        assert value == pytest.approx(expected, abs=5 * (0.25 / 1500) ** 0.5), name


def test_consistency_equals_loops(tmp_path: Path) -> None:
    # Two sets of 31 and 23 images, with one and with no decodable image 2.
    test, train = [n % 6 for n in range(31)], [n * 7 % 6 for n in range(23)]
    generator = torch.Generator().manual_seed(1)
    image_ND = torch.randn(54, 3, generator=generator).round() + 0.01
    text_KD = torch.randn(6, 3, generator=generator)
    model = table(normalize(image_ND, dim=1), normalize(text_KD, dim=1))
    write_sets(tmp_path, test, train, broken=[2, 30])
    results = Consistency([str(tmp_path / "s")], ks=[1, 4, 22, 23])(FeatureStore(model))
    kept, kept_train = [n for n in range(31) if n not in (2, 30)], [m for m in range(23) if m != 2]
    class_KD = torch.stack([normalize(2 * normalize(t, dim=0), dim=0) for t in text_KD])
    predicted = (model.image_ND[kept] @ class_KD.T).argmax(1).tolist()
    _, rows = naive_nearest(model.image_ND[kept], model.image_ND[[31 + m for m in kept_train]], 22)
    metrics = {name.split("/")[2]: value for name, value in results.metrics.items()}
    for k in (1, 4, 22):
        majorities = [naive_majority([train[kept_train[m]] for m in row[:k]]) for row in rows]
        agree = [p == m for p, m in zip(predicted, majorities, strict=True)]
        assert metrics[f"k{k}"] == pytest.approx(sum(agree) / 29)
        assert metrics[f"k{k}_low"] <= metrics[f"k{k}"] <= metrics[f"k{k}_high"]
        assert results.predictions["s/consistency"][f"majority_k{k}"] == majorities
    assert (metrics["samples"], metrics["train_samples"]) == (29, 22)
    assert "k23" not in metrics, "there are but 22 training images"
    assert results.predictions["s/consistency"]["index"] == kept


def test_a_diverged_model_scores_nothing_and_ends_no_training(tmp_path: Path) -> None:
    test, train = [n % 6 for n in range(30)], [n % 6 for n in range(30)]
    nan = torch.full((60, 4), torch.nan)
    every = [
        evaluation
        for evaluation in evaluations(write_sets(tmp_path, test, train))
        if not isinstance(evaluation, Robustness)
    ]
    results = run(every, FeatureStore(table(nan, nan[:6])))
    assert set(shares(results).values()) == {0.0}
    assert math.isnan(results.metrics["s/geometry/alignment"])
    assert "pca" not in results.details["s/geometry"]
    robust = Robustness(str(tmp_path / "s"), [str(tmp_path / "t")])(
        FeatureStore(table(nan, nan[:6]))
    )
    assert robust.metrics["t/robustness/acc1"] == 0


def test_probes_look_at_the_features_and_zero_shot_at_the_embeddings(tmp_path: Path) -> None:
    """Features tell the classes apart, embeddings do not."""

    class TwoFaced(TableModel):
        def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones(len(images), 6) / 6**0.5, self.encode_image(images)

    test, train = [n % 6 for n in range(48)], [n % 6 for n in range(300)]
    model = TwoFaced(
        one_hot(torch.tensor(test + train), 6) * 7.0, table(*[torch.eye(6)] * 2).text_D
    )
    results = run(evaluations(write_sets(tmp_path, test, train)), FeatureStore(model))
    assert results.metrics["s/linear_probe/adamw_acc1"] == 1
    assert results.metrics["s/linear_probe/lbfgs_5_shot_acc1"] == 1
    assert results.metrics["s/knn/weighted_k5"] == results.metrics["s/knn/majority_k5"] == 1
    assert results.details["s/knn"]["protocol"]["rows"] == "features"
    assert results.metrics["s/hierarchy/fine_acc1"] == pytest.approx(1 / 3)


def _results_of_rank(folder: Path) -> Results:
    return run(evaluations(folder), FeatureStore(FeatureNet(), batch_size=8))


def test_two_processes_and_one_agree_to_the_last_digit(tmp_path: Path) -> None:
    test, train = [n * 7 % 6 for n in range(37)], [n % 6 for n in range(29)]
    write_sets(tmp_path, test, train, broken=[2, 33])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = _results_of_rank(tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert alone.metrics["s/consistency/samples"] == 35
    for results in run_distributed(_results_of_rank, 2, tmp_path):
        assert results == alone


def test_the_baseline_of_other_models_is_read_from_their_metrics(tmp_path: Path) -> None:
    test, train = [n % 6 for n in range(24)], [n % 6 for n in range(12)]
    folder = write_sets(tmp_path, test, train)
    for number, (x, y) in enumerate([(0.2, 0.1), (0.6, 0.5)]):
        run_folder = tmp_path / f"run{number}"
        run_folder.mkdir()
        metrics = {"s/robustness/acc1": x, "t/robustness/acc1": y, "train/seconds": 1}
        (run_folder / "metrics.json").write_text(json.dumps(metrics))
    runs = [str(tmp_path / "run0"), str(tmp_path / "run1" / "metrics.json")]
    store = FeatureStore(table(one_hot(torch.tensor(test), 6).float(), torch.eye(6)))
    s, t = str(folder / "s"), str(folder / "t")
    metrics = Robustness(s, [t], models=runs)(store).metrics
    assert metrics["t/robustness/effective_robustness"] == pytest.approx(1 - 0.9)
    assert metrics["s/robustness/mean_effective_robustness"] == pytest.approx(1 - 0.9)
    given = Robustness(s, [t], models=runs, baselines={"t": {"slope": 2, "intercept": 0}})
    assert given(store).metrics["t/robustness/effective_robustness"] == pytest.approx(-1)
    (tmp_path / "run1" / "metrics.json").write_text("{}")
    for models, message in (
        (runs, "run1.*has no s/robustness/acc1$"),
        (runs[:1], r"^evaluation\.robustness\.models: t: a baseline needs two models"),
        (["/nowhere"], r"^evaluation\.robustness\.models: /nowhere: No such file"),
    ):
        with pytest.raises(ValueError, match=message):
            Robustness(s, [t], models=models).open()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda **s: Consistency(["x"], **s), {"ks": [0]}),
        (lambda **s: KNN(["x"], **s), {"ks": "all"}),
        (lambda **s: KNN(["x"], **s), {"temperature": 0}),
        (lambda **s: LinearProbe(["x"], **s), {"protocols": ["sgd"]}),
        (lambda **s: LinearProbe(["x"], **s), {"shots": [1, 5]}),
        (lambda **s: LinearProbe(["x"], **s), {"seeds": []}),
        (lambda **s: LinearProbe(["x"], **s), {"metric": "acc1"}),
        (lambda **s: Hierarchy(["x"], **s), {"top_k": []}),
        (lambda **s: Hierarchy(["x"], **s), {"level": "category"}),
        (lambda **s: Hierarchy(["x"], **s), {"hierarchy": {"y": "h.json"}}),
        (lambda **s: Geometry(**s), {"datasets": [3]}),
        (lambda **s: Geometry(["a/x"], **s), {"caption_sets": ["b/x"]}),
        (lambda **s: Robustness("a", **s), {"shifted": ["b/a"]}),
        (lambda **s: Robustness("a", ["b"], **s), {"scale": "probit"}),
        (lambda **s: Robustness("a", ["b"], **s), {"models": "runs/a"}),
        (lambda **s: Robustness("a", ["b"], **s), {"baselines": {"c": {}}}),
        (lambda **s: Robustness("a", ["b"], **s), {"baselines": {"b": {"slope": 1}}}),
    ],
)
def test_wrong_settings_are_one_line(make: Callable[..., Any], message: dict[str, Any]) -> None:
    (setting,) = message
    with pytest.raises(ValueError, match=rf"^evaluation\.\w+\.{setting}\b") as caught:
        make(**message)
    assert "\n" not in str(caught.value)


def test_missing_sets_and_splits_show_on_opening(tmp_path: Path) -> None:
    write_sets(tmp_path, [0, 1], [0, 1])
    t = str(tmp_path / "t")
    for evaluation in (
        Consistency([t]),
        KNN([t]),
        LinearProbe([t]),
        Hierarchy([str(tmp_path / "absent")]),
        Geometry(caption_sets=[t]),
        Robustness(t, [str(tmp_path / "absent")]),
    ):
        with pytest.raises(ValueError, match=rf"^evaluation\.{evaluation.name}\.\w+: "):
            evaluation.open()
    with pytest.raises(ValueError, match=r"^evaluation\.hierarchy\.hierarchy: t: .*no level 1"):
        Hierarchy([t], str(tmp_path / "h.json"), 1).open()
    with pytest.raises(
        ValueError, match=r"^evaluation\.hierarchy\.hierarchy: no hierarchy.json in t: "
    ):
        Hierarchy([t]).open()
