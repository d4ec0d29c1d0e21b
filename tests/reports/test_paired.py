"""Paired differences: against the plain bootstrap of pairs, and of which runs there are any."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclip_pl.reports.best import conclusion, find_best
from cyclip_pl.reports.paired import paired
from cyclip_pl.reports.paired_table import paired_differences, paired_groups
from cyclip_pl.reports.runs import Run, read_runs
from tests.helpers.run_folders import write_run


def bits(right: np.ndarray) -> str:
    return np.packbits(right.astype(bool)).tobytes().hex()


def runs_of(folder: Path, *hits: Any, title: str = "s/zero_shot", **metrics: float) -> list[Run]:
    found = {f"{title}/{name}": value for name, value in metrics.items()}
    folders = [
        write_run(folder / str(n), found, {title: {"hits": of_run}})
        for n, of_run in enumerate(hits)
    ]
    return read_runs(folders)


def images(right: np.ndarray, of: str = "s") -> dict[str, Any]:
    return {"set": of, "count": len(right), "images": {"acc1": bits(right)}}


def test_the_interval_is_that_of_resampled_pairs(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    hard = generator.random(301)
    first, second = hard < 0.5, hard + generator.normal(0, 0.05, 301) < 0.57
    runs = runs_of(tmp_path, images(first), images(second))
    found = paired(runs[1], runs[0], "s/zero_shot", "acc1")
    difference = second.astype(float) - first
    drawn = difference[generator.integers(0, 301, (20_000, 301))].mean(1)
    assert found is not None and found.images == 301
    assert found.value == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.005)
    # Images that both find hard or easy do not widen it: the metrics' own intervals overlap.
    assert found.apart and found.high - found.low < 0.08
    back = paired(runs[0], runs[1], "s/zero_shot", "acc1")
    assert back is not None and back.value == -found.value


def test_captions_are_resampled_with_their_image(tmp_path: Path) -> None:
    counts = [1, 3, 2] * 40
    generator = np.random.default_rng(1)

    def hits(right: np.ndarray) -> dict[str, Any]:
        texts = {"text_to_image_r1": bits(right)}
        return {"set": "c", "count": 120, "images": {}, "texts": texts, "texts_of_image": counts}

    first, second = (generator.random(sum(counts)) < share for share in (0.4, 0.6))
    runs = runs_of(tmp_path, hits(first), hits(second), title="c/retrieval")
    found = paired(runs[1], runs[0], "c/retrieval", "text_to_image_r1")
    assert found is not None and found.images == 120
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.low < found.value < found.high


def test_there_is_no_pair_without_the_same_images(tmp_path: Path) -> None:
    right = np.ones(9, bool)
    runs = runs_of(tmp_path, images(right), images(right, of="other"), {"set": "s", "count": 9})
    assert paired(runs[1], runs[0], "s/zero_shot", "acc1") is None
    assert paired(runs[2], runs[0], "s/zero_shot", "acc1") is None
    assert paired(runs[0], runs[0], "s/zero_shot", "acc3") is None
    assert paired(runs[0], runs[0], "s/other", "acc1") is None


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        (3, "hits must have set, count and images"),
        ({"set": "s", "count": 1.5}, "hits.count must be a count"),
        ({"set": "s", "count": 1e12}, "hits.count must be a count of at most 4,000,000"),
        ({"set": "s", "count": 9, "images": []}, "hits.images must have bits by metric"),
        ({"set": "s", "count": 9, "images": {"acc1": "zz"}}, "acc1 must be bits in hexadecimal"),
        ({"set": "s", "count": 9, "images": {"acc1": "ff"}}, "acc1 must have 9 bits"),
        ({"set": "s", "count": 9, "texts": {"acc1": "ff"}}, "must be a list of 9 counts"),
        (
            {"set": "s", "count": 1, "texts": {"acc1": ""}, "texts_of_image": [0]},
            "must have counts of 1 or more",
        ),
    ],
)
def test_malformed_hits_are_one_line(hits: Any, message: str, tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path, hits)
    with pytest.raises(ValueError, match=f"s_zero_shot.json: .*{re.escape(message)}"):
        paired(run, run, "s/zero_shot", "acc1")


def test_the_table_has_the_smallest_k_and_marks_what_leaves_out_0(tmp_path: Path) -> None:
    right = np.arange(200) < 100
    better, same = np.arange(200) < 140, right
    of = [{"set": "s", "count": 200, "images": {"acc1": bits(x), "acc3": bits(x)}} for x in
          (right, better, same)]  # fmt: skip
    runs = runs_of(tmp_path, *of, acc1=0.5, acc3=0.5)
    found = paired_differences(runs)
    assert list(found["s/zero_shot"]) == ["acc1"]
    ((row,),) = [group.rows for group in paired_groups(found)]
    assert [(cell.text, cell.best) for cell in row.cells] == [("+20.0", True), ("0.0", False)]
    assert paired_differences(runs[:1]) == {}


def lead(folder: Path, *metrics: dict[str, float], **hits: Any) -> str:
    folders = [
        write_run(folder / str(n), {f"s/robustness/{k}": v for k, v in one.items()})
        for n, one in enumerate(metrics)
    ]
    runs = read_runs(folders)
    best = find_best(runs)
    assert best is not None
    return " ".join(conclusion(runs, best))


def test_the_conclusion_follows_the_intervals(tmp_path: Path) -> None:
    def drop(low: float) -> dict[str, float]:
        return {"drop": low + 0.1, "drop_low": low, "drop_high": low + 0.2}

    # Less of a drop is better.
    assert lead(tmp_path / "a", drop(0.5), drop(0.1)).startswith(
        "1 has the best s · robustness · drop: 20.0 %. It leads 0 by 40.0 percentage points; "
        "their intervals lie apart. That is more than the choice of test images explains"
    )
    overlap = lead(tmp_path / "b", drop(0.5), drop(0.4))
    assert "their intervals overlap. These test images do not tell the two runs apart." in overlap
    assert "chance cannot be excluded" in lead(tmp_path / "c", {"drop": 0.5}, {"drop": 0.4})
    assert "are equal" in lead(tmp_path / "d", {"drop": 0.5}, {"drop": 0.5})
    three = lead(tmp_path / "e", drop(0.1), drop(0.5), drop(0.6))
    assert three.endswith("the best of 3 runs looks better than it is.")
