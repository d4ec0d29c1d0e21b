from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.evaluation.datasets import ClassificationSet
from cyclip_pl.evaluation.templates import fill, own, resolve
from tests.helpers.evaluation_sets import coded_set


def test_named_templates_are_text_with_one_place_for_the_class() -> None:
    openai, simple = resolve("openai", "x"), resolve("simple", "x")
    assert openai is not None and simple is not None
    assert (len(openai), len(simple)) == (80, 7)
    assert set(simple) <= set(openai)
    assert all(template.count("{c}") == 1 for template in openai)
    assert "a bad photo of a {c}." in openai


def test_lists_and_null() -> None:
    assert resolve(["a {c}", "{c}s"], "x") == ["a {c}", "{c}s"]
    assert resolve(None, "x") is None


@pytest.mark.parametrize("templates", ["imagenet", [], ["a {}"], [3], "a photo of a {c}"])
def test_anything_else_is_one_line_that_says_what_is_allowed(templates: object) -> None:
    message = r"^evaluation\.z\.templates must be null .*openai, simple, .*\{c\}; got .*$"
    with pytest.raises(ValueError, match=message):
        resolve(templates, "evaluation.z.templates")  # type: ignore[arg-type]


def test_a_template_is_only_ever_text() -> None:
    assert fill("{c}: {c.__class__} {0}", "{dog}") == "{dog}: {c.__class__} {0}"


def test_a_set_without_its_own_asks_for_the_setting(tmp_path: Path) -> None:
    folder = coded_set(tmp_path / "s", [0], ["a"], shards=1)
    assert own(ClassificationSet(folder), "x") == ["{c}", "a picture of {c}"]
    (folder / "zeroshot_classification_templates.txt").unlink()
    with pytest.raises(ValueError, match=r"templates\.txt is missing: set x to one of openai,"):
        own(ClassificationSet(folder), "x")
