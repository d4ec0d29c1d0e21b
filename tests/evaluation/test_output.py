from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest

from cyclip_pl.evaluation import output
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.output import (
    check_predictions,
    write_details,
    write_metrics,
    write_predictions,
)
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.evaluation.results import Results
from tests.helpers.evaluation_sets import TinyNet, caption_set, coded_set

CLASSES = ["ähre", "bee", "unseen"]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    labels = [n % 2 for n in range(30)]
    evaluations = [
        ZeroShot([str(coded_set(tmp_path / "s", labels, CLASSES, broken=[4]))], top_k=[1, 3]),
        Retrieval([str(caption_set(tmp_path / "c", [[f"a {n}", "b"] for n in range(9)]))]),
    ]
    return run(evaluations, FeatureStore(TinyNet()))


def test_what_is_no_number_is_null_and_strict_readers_take_the_files(tmp_path: Path) -> None:
    results = Results()
    nan, infinity = float("nan"), float("inf")
    metrics = {"gap": nan, "rank": infinity, "samples": 3}
    results.add("s", "e", metrics, {"pca": [[nan, 1.5]], "of": {"x": (-infinity, None)}})
    write_metrics(tmp_path, results.metrics)
    write_details(tmp_path, results)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    def read(path: Path) -> object:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)

    expected = {"s/e/gap": None, "s/e/rank": None, "s/e/samples": 3}
    assert read(tmp_path / "metrics.json") == expected
    assert read(tmp_path / "details/s_e.json") == {"pca": [[None, 1.5]], "of": {"x": [None, None]}}
    assert list(expected) == sorted(expected) and not list(tmp_path.glob("*.partial"))


def test_details_say_how_and_of_which_classes(results: Results, tmp_path: Path) -> None:
    write_details(tmp_path / "run", results)
    folder = tmp_path / "run/details"
    assert sorted(path.name for path in folder.iterdir()) == [
        "c_retrieval",
        "c_retrieval.json",
        "s_zero_shot",
        "s_zero_shot.json",
    ]
    found = json.loads((folder / "s_zero_shot.json").read_text(encoding="utf-8"))
    assert found == results.details["s/zero_shot"]
    assert found["protocol"] == {
        "split": "test",
        "templates": "own",
        "prompts": 6,
        "metric": "acc1",
        "interval": {"method": "percentile", "resamples": 1000, "level": 0.95, "seed": 0},
    }
    rows = results.predictions["s/zero_shot"]
    of_class = {n: [p for p, label in zip(*_pair(rows), strict=True) if label == n] for n in (0, 1)}
    assert found["per_class"] == [
        {"class": "ähre", "images": 14, "acc1": of_class[0].count(0) / 14},
        {"class": "bee", "images": 15, "acc1": of_class[1].count(1) / 15},
        {"class": "unseen", "images": 0, "acc1": None},
    ]
    wrong = {
        (CLASSES[label], CLASSES[p]): of_class[label].count(p)
        for label in (0, 1)
        for p in (0, 1, 2)
        if p != label and p in of_class[label]
    }
    pairs = found["confusions"]
    assert {(pair["class"], pair["predicted"]): pair["images"] for pair in pairs} == wrong
    counts = [pair["images"] for pair in pairs]
    assert counts == sorted(counts, reverse=True) and counts
    sizes = {"ähre": 14, "bee": 15}
    assert all(pair["share"] == pair["images"] / sizes[pair["class"]] for pair in pairs)


def _pair(rows: dict) -> tuple[list[int], list[int]]:
    return rows["prediction"], rows["label"]


def test_predictions_are_what_the_metrics_are_made_of(results: Results, tmp_path: Path) -> None:
    check_predictions()
    write_predictions(tmp_path / "run", results)
    table = pandas.read_parquet(tmp_path / "run/predictions/s_zero_shot.parquet")
    assert list(table) == ["index", "key", "label", "prediction", "score", "correct"]
    assert table["index"].tolist() == [n for n in range(30) if n != 4]
    assert table["key"][4] == "s0005"
    assert (table["correct"] == (table["label"] == table["prediction"])).all()
    assert table["correct"].mean() == results.metrics["s/zero_shot/acc1"]
    assert table["score"].between(-1, 1).all()

    table = pandas.read_parquet(tmp_path / "run/predictions/c_retrieval.parquet")
    for way, of_way in table.groupby("way"):
        for k in (1, 5):
            share = (of_way["rank"] <= k).mean()
            assert share == results.metrics[f"c/retrieval/{way}_r{k}"]


def test_two_results_of_one_file_name_are_refused(tmp_path: Path) -> None:
    results = Results()
    results.add("a", "b_c", {}, details={})
    results.add("a_b", "c", {}, details={})
    with pytest.raises(ValueError, match=r"^a/b_c and a_b/c are one file, .*a_b_c\.json: rename"):
        write_details(tmp_path, results)


def test_without_results_there_is_no_folder(tmp_path: Path) -> None:
    write_details(tmp_path, Results())
    write_predictions(tmp_path, Results())
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_predictions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^predictions=true needs pyarrow: pip install '.*'$"):
        check_predictions()
