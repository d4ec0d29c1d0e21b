from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.types import Model
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import TEMPLATES, TableModel, TinyNet, coded_set
from tests.helpers.models import random_model
from tests.helpers.protocols import one_thread


def naive(
    model: TableModel, labels: Sequence[int], classnames: Sequence[str], top_k: Sequence[int]
) -> dict[str, float]:
    """The protocol in plain loops and double precision."""

    def unit(vector: Sequence[float]) -> list[float]:
        length = math.sqrt(sum(x * x for x in vector))
        return [x / length for x in vector]

    classes = []
    for name in classnames:
        prompts = [unit(model.text_D[t.replace("{c}", name)].tolist()) for t in TEMPLATES]
        classes.append(unit([sum(column) / len(prompts) for column in zip(*prompts, strict=True)]))
    hits = dict.fromkeys(top_k, 0)
    recalls: dict[int, list[bool]] = {}
    for n, label in enumerate(labels):
        image = model.image_ND[n].tolist()
        scores = [sum(a * b for a, b in zip(image, text, strict=True)) for text in classes]
        order = sorted(range(len(classes)), key=lambda k: (-scores[k], k))
        for k in top_k:
            hits[k] += label in order[:k]
        recalls.setdefault(label, []).append(order[0] == label)
    return {
        **{f"acc{k}": hits[k] / len(labels) for k in top_k},
        "mean_per_class_recall": sum(sum(r) / len(r) for r in recalls.values()) / len(recalls),
    }


def evaluated(evaluation: ZeroShot, model: Model, **features: int) -> dict[str, float]:
    """All metrics of an evaluation alone."""
    return evaluation(FeatureStore(model, **features)).metrics


def of_set(metrics: dict[str, float], name: str = "s") -> dict[str, float]:
    prefix = f"{name}/zero_shot/"
    return {key.removeprefix(prefix): v for key, v in metrics.items() if key.startswith(prefix)}


def without_bounds(metrics: dict[str, float]) -> dict[str, float]:
    return {name: v for name, v in metrics.items() if not name.endswith(("_low", "_high"))}


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_equals_loops_in_double_precision(tmp_path: Path, batch_size: int) -> None:
    # Classes 4 and 9 share a name, 5 and 11 have no image.
    classnames = [f"class {k}" for k in range(12)]
    classnames[9] = classnames[4]
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 12, (90,), generator=generator).tolist()
    labels = [label for label in labels if label not in (5, 11)]
    model = random_model(len(labels), classnames)
    coded_set(tmp_path / "s", labels, classnames)
    metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")]), model, batch_size=batch_size))
    expected = naive(model, labels, classnames, (1, 3, 5))
    counts = {"samples": len(labels), "classes": 12, "skipped": 0}
    assert without_bounds(metrics) == pytest.approx({**expected, **counts}, abs=1e-12)
    bounds = [f"acc{k}{end}" for k in (1, 3, 5) for end in ("", "_low", "_high")]
    assert list(metrics) == [*bounds, "mean_per_class_recall", "samples", "classes", "skipped"]
    for k in (1, 3, 5):
        assert metrics[f"acc{k}_low"] < metrics[f"acc{k}"] < metrics[f"acc{k}_high"]


def test_random_embeddings_score_at_chance(tmp_path: Path) -> None:
    classnames = [f"class {k}" for k in range(20)]
    labels = [n % 20 for n in range(2000)]
    coded_set(tmp_path / "s", labels, classnames)
    metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")]), random_model(2000, classnames)))
    for k in (1, 3, 5):  # 5 standard deviations of 2,000 draws
        chance = k / 20
        assert metrics[f"acc{k}"] == pytest.approx(chance, abs=5 * (chance / 2000) ** 0.5)
    assert metrics["mean_per_class_recall"] == pytest.approx(0.05, abs=0.025)


def test_perfect_embeddings_score_one(tmp_path: Path) -> None:
    classnames = [f"class {k}" for k in range(10)]
    labels = [n * 3 % 10 for n in range(40)]
    coded_set(tmp_path / "s", labels, classnames)
    eye = torch.eye(10)
    texts = {t.replace("{c}", name): eye[k] for k, name in enumerate(classnames) for t in TEMPLATES}
    model = TableModel(one_hot(torch.tensor(labels), 10).float(), texts)
    metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")]), model))
    assert [metrics[f] for f in ("acc1", "acc3", "acc5", "mean_per_class_recall")] == [1, 1, 1, 1]


def test_one_class_and_k_above_the_number_of_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coded_set(tmp_path / "s", [0, 0], ["only"])
    with caplog.at_level(logging.WARNING):
        metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")]), random_model(2, ["only"])))
    assert set(without_bounds(metrics)) == {
        "acc1",
        "mean_per_class_recall",
        "samples",
        "classes",
        "skipped",
    }
    assert metrics["acc1"] == metrics["mean_per_class_recall"] == 1
    assert "s: k=3, 5 left out: only 1 classes" in caplog.text


def test_of_two_classes_of_one_name_the_first_wins_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coded_set(tmp_path / "s", [0, 1, 2, 2], ["crane", "dog", "crane"])
    model = TableModel(
        torch.eye(2)[[0, 1, 0, 0]],
        {
            t.replace("{c}", n): torch.eye(2)[k]
            for k, n in enumerate(["crane", "dog"])
            for t in TEMPLATES
        },
    )
    with caplog.at_level(logging.WARNING):
        metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")], top_k=[1, 2]), model))
    assert metrics["acc1"] == 0.5 and metrics["acc2"] == 1
    assert "several classes are called 'crane'" in caplog.text


def test_broken_images_are_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classnames = ["a", "b", "c"]
    labels = [n % 3 for n in range(20)]
    coded_set(tmp_path / "s", labels, classnames, broken=[1, 4, 5, 6, 19])
    model = random_model(20, classnames)
    with caplog.at_level(logging.WARNING):
        metrics = of_set(evaluated(ZeroShot([str(tmp_path / "s")], top_k=[1]), model, batch_size=4))
    good = [n for n in range(20) if n not in (1, 4, 5, 6, 19)]
    model.image_ND = model.image_ND[good]
    expected = naive(model, [labels[n] for n in good], classnames, [1])
    counts = {"samples": 15, "classes": 3, "skipped": 5}
    assert without_bounds(metrics) == pytest.approx({**expected, **counts}, abs=1e-12)
    assert caplog.text.count("skipped, not an image") == 3
    assert "sample s0001" in caplog.text and "s: 5 of 20 images skipped" in caplog.text


def test_a_set_without_one_good_image_is_an_error(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 0], ["a"], broken=[0, 1])
    with pytest.raises(ValueError, match="none of its 2 images can be decoded"):
        evaluated(ZeroShot([str(tmp_path / "s")]), random_model(2, ["a"]))


def test_workers_change_nothing(tmp_path: Path) -> None:
    classnames = ["a", "b", "c", "d", "e"]
    coded_set(tmp_path / "s", [n % 5 for n in range(23)], classnames, broken=[3])
    model = random_model(23, classnames)
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    one, *others = (
        evaluated(ZeroShot([str(tmp_path / "s")]), model, batch_size=4, **settings)
        for settings in ({"workers": 0}, {"workers": 2}, {}, {"lanes": 3})
    )
    assert all(other == one for other in others)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_sets_of_the_same_classes_and_prompts_share_the_text_embeddings(tmp_path: Path) -> None:
    for name in ("one", "two"):
        coded_set(tmp_path / name, [0, 1, 2], ["a", "b", "c"])
    coded_set(tmp_path / "three", [0, 1], ["a", "b"])
    model = random_model(3, ["a", "b", "c"])
    folders = [str(tmp_path / name) for name in ("one", "two", "three")]
    evaluated(ZeroShot(folders), model, batch_size=4)
    assert model.calls == [4, 2, 4]  # a and b, c; the third set's a and b


def test_more_prompts_to_a_class_than_a_batch_holds(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1, 1, 0, 1], ["a", "b"])
    model = random_model(5, ["a", "b"])
    folder = str(tmp_path / "s")
    metrics = evaluated(ZeroShot([folder], top_k=[1]), model, batch_size=1)
    assert set(model.calls) == {1}
    assert metrics == evaluated(ZeroShot([folder], top_k=[1]), model)


def test_the_model_is_evaluated_in_eval_mode_and_left_as_it_was(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1, 1], ["a", "b"])
    model = TinyNet()
    model.image[1].eval()  # a frozen BatchNorm in a network that trains
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluated(ZeroShot([str(tmp_path / "s")], top_k=[1]), model)
    assert model.training and model.image[0].training and not model.image[1].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_diverged_model_scores_nothing(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1, 0], ["a", "b"])
    model = random_model(3, ["a", "b"])
    model.image_ND = torch.full_like(model.image_ND, float("nan"))
    assert of_set(evaluated(ZeroShot([str(tmp_path / "s")], top_k=[1]), model))["acc1"] == 0


def _metrics_of_rank(folders: list[str]) -> tuple[dict[str, float], Tensor]:
    metrics = evaluated(ZeroShot(folders), model := TinyNet(), batch_size=8)
    return metrics, model.head.weight.detach()


@pytest.mark.slow
def test_two_processes_and_one_agree_to_the_last_digit(tmp_path: Path) -> None:
    # 37 and 5 images in batches of 8: the ranks' shares differ, and one rank has none of the 5.
    classnames = [f"class {k}" for k in range(10)] + ["class 3"]
    folders = [str(tmp_path / "s"), str(tmp_path / "t")]
    coded_set(tmp_path / "s", [n * 7 % 11 for n in range(37)], classnames, broken=[2, 33])
    coded_set(tmp_path / "t", [0, 1, 2, 3, 4], classnames)
    with one_thread():
        alone, weight = _metrics_of_rank(folders)
    assert alone["s/zero_shot/samples"] == 35 and alone["s/zero_shot/skipped"] == 2
    for metrics, weight_of_rank in run_distributed(_metrics_of_rank, 2, folders):
        assert metrics == alone
        assert torch.equal(weight_of_rank, weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": []}, r"^evaluation\.zs\.top_k=\[\]: must be a list of whole numbers"),
        ({"top_k": 5}, r"^evaluation\.zs\.top_k=5: must be a list"),
        ({"top_k": [0]}, r"^evaluation\.zs\.top_k=\[0\]: must be a list of whole numbers of at"),
        ({"templates": "opnai"}, r"^evaluation\.zs\.templates=opnai: "),
        ({"datasets": "folder"}, r"^evaluation\.zs\.datasets=folder: .*write \[folder\]$"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZeroShot(**{"datasets": ["x"], "name": "zs", **settings})


def test_names_of_sets(tmp_path: Path) -> None:
    coded_set(tmp_path / "s", [0, 1], ["a", "b"])
    folder = str(tmp_path / "s")
    model = random_model(2, ["a", "b"])
    metrics = evaluated(ZeroShot([folder + "/", {"mine": folder}], name="zs"), model)
    assert {key.rsplit("/", 1)[0] for key in metrics} == {"s/zs", "mine/zs"}
    assert evaluated(ZeroShot({"mine": folder}), model)["mine/zero_shot/samples"] == 2


def test_a_missing_set_shows_on_opening(tmp_path: Path) -> None:
    evaluation = ZeroShot([str(tmp_path / "absent")])
    with pytest.raises(
        ValueError, match=r"^evaluation\.zero_shot\.datasets: no classification set at"
    ):
        evaluation.open()
