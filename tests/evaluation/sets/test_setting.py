from __future__ import annotations

from typing import Any

import pytest

from cyclip_pl.evaluation.sets.setting import named_sets


def test_a_set_is_called_by_its_last_part_or_as_it_is_said() -> None:
    shards = "https://host/wds_x/test/{0..3}.tar"
    url = "https://huggingface.co/datasets/clip-benchmark/wds_cars"
    found = named_sets(["cifar10", "data/a/", url, shards, {"mine": "/b", "other": url}], "s")
    assert found == {
        "cifar10": "cifar10",
        "a": "data/a/",
        "wds_cars": url,
        "wds_x": shards,
        "mine": "/b",
        "other": url,
    }
    assert named_sets([["a", {"b": "c"}], "d"], "s") == {"a": "a", "b": "c", "d": "d"}
    assert list(named_sets({"b": "x", "a": "y"}, "s")) == ["b", "a"]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("cifar10", r"a list of sets .*write \[cifar10\]$"),
        ([], "=\\[\\]: must name at least one set$"),
        ([3], "=3: must be a list of sets"),
        (["a", "/b/a"], r"two sets are called a: write \[\{NAME: SET\}, ...\]$"),
        ([{"a/b": "c"}], "'a/b' cannot name a set"),
        (["/"], "'' cannot name a set"),
        ({"a": None}, "a must be a folder, a URL or a name, not None$"),
        (["pipe:cat 0.tar"], "evaluation sets run no commands"),
    ],
)
def test_errors_are_one_line_that_names_the_setting(sets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^evaluation\.x\.datasets\b.*{message}") as caught:
        named_sets(sets, "evaluation.x.datasets")
    assert "\n" not in str(caught.value)
