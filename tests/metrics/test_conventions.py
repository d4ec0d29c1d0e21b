"""What every metric class must do to be used like those of torchmetrics."""

from __future__ import annotations

import math
import pickle
from typing import Any

import matplotlib
import pytest
from torchmetrics import MetricCollection

from cyclip_pl.metrics.base import BaseMetric
from tests.helpers.metric_cases import CASES, Rows, blocks, fed, plain, rows

matplotlib.use("Agg")
IMAGES = 45
GEOMETRY = [
    "label_alignment",
    "caption_alignment",
    "label_uniformity",
    "caption_uniformity",
    "modality_gap",
    "inconsistency",
    "effective_rank",
    "pca",
]


def value(name: str, x: Rows | None = None) -> Any:
    return plain(fed(name, x or rows(IMAGES), blocks(IMAGES)).compute())


def numbers(found: Any) -> list[float | None]:
    """Every number in it."""
    if isinstance(found, dict):
        return numbers(list(found.values()))
    return [n for of in found for n in numbers(of)] if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", CASES)
def test_forward_is_the_batch_and_adds_to_the_whole(name: str) -> None:
    make, arguments = CASES[name]
    metric = make()
    for block in blocks(IMAGES):
        of_batch = plain(metric(*arguments(rows(IMAGES), block)))
        assert of_batch == plain(fed(name, rows(IMAGES), [block]).compute())
    assert plain(metric.compute()) == value(name)


@pytest.mark.parametrize("name", CASES)
def test_copies_merges_and_a_second_use(name: str) -> None:
    x, (first, *rest) = rows(IMAGES), blocks(IMAGES)
    metric = fed(name, x, [first])
    for copy in (metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert plain(copy.compute()) == plain(fed(name, x, [first]).compute())
    metric.merge_state(fed(name, x, rest))
    assert plain(metric.compute()) == value(name)
    metric.reset()
    for block in blocks(IMAGES):
        metric.update(*CASES[name][1](x, block))
    assert plain(metric.compute()) == value(name)


@pytest.mark.parametrize("name", CASES)
def test_no_rows_are_no_error(name: str) -> None:
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        found = plain(CASES[name][0]().compute())
    if name != "histogram":
        assert None in numbers(found)


@pytest.mark.filterwarnings("ignore:.*before the ``update`` method")
@pytest.mark.parametrize("name", CASES)
def test_an_update_without_rows_changes_nothing(name: str) -> None:
    nothing = slice(0, 0)
    first, *rest = blocks(IMAGES)
    metric = fed(name, rows(IMAGES), [nothing, first, nothing, *rest])
    assert plain(metric.compute()) == value(name)
    assert plain(fed(name, rows(IMAGES), [nothing]).compute()) == plain(CASES[name][0]().compute())


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_geometry_of_a_diverged_model_is_nan(name: str, bad: float) -> None:
    x = rows(IMAGES)
    x.image_ND[17] = bad
    assert set(numbers(value(name, x))) == {None}


def test_a_diverged_model_scores_nothing() -> None:
    x = rows(IMAGES)
    x.image_ND[:] = math.nan
    x.text_MD[:] = math.nan
    for name in ("top_k", "hierarchy", "consistency", "knn"):
        assert set(value(name, x).values()) == {0.0}
    found = value("retrieval", x)
    assert (found["image_to_text_r10"], found["text_to_image_r10"]) == (0, 0)
    assert found["image_to_text_median_rank"] == len(x.text_MD) + 1
    assert found["text_to_image_median_rank"] == IMAGES + 1
    assert not any(map(sum, value("histogram", x).values()))


@pytest.mark.parametrize("name", CASES)
def test_plot_draws(name: str) -> None:
    metric = fed(name, rows(IMAGES), blocks(IMAGES))
    _, axes = metric.plot()
    assert axes.lines
    if name != "pca":
        _, axes = metric.plot([metric.compute(), metric.compute()])
        assert axes.lines
    matplotlib.pyplot.close("all")


def test_a_collection_of_those_that_take_scores() -> None:
    names = ("top_k", "hierarchy", "per_class")
    collection = MetricCollection({name: CASES[name][0]() for name in names})
    for block in blocks(IMAGES):
        collection.update(*CASES["top_k"][1](rows(IMAGES), block))
    found = plain(collection.compute())
    assert found == {**value("top_k"), **value("hierarchy"), "per_class": value("per_class")}


@pytest.mark.parametrize("name", CASES)
def test_what_torchmetrics_wants_to_know(name: str) -> None:
    metric = CASES[name][0]()
    assert isinstance(metric, BaseMetric)
    assert metric.is_differentiable is False and metric.full_state_update is False
    assert metric.higher_is_better in (True, False, None)


def test_updates_keep_no_graph_and_half_precision_is_read() -> None:
    x = rows(IMAGES)
    for name in ("inconsistency", "retrieval", "caption_uniformity"):
        expected = value(name)
        x.image_ND.requires_grad_()
        assert value(name, x) == expected
        half = Rows(*(r.bfloat16() if r.is_floating_point() else r for r in vars(x).values()))
        assert numbers(value(name, half)) == pytest.approx(numbers(expected), rel=0.2)
