from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.templates import PromptSource, fill
from tests.helpers.evaluation_sets import coded_set


@pytest.fixture
def dataset(tmp_path: Path) -> ClassificationSet:
    return ClassificationSet(coded_set(tmp_path / "s", [0, 1], ["ant", "bee"], shards=1))


def test_named_templates_are_text_with_one_place_for_the_class(dataset: ClassificationSet) -> None:
    openai, simple = (PromptSource(name, "x").prompts(dataset) for name in ("openai", "simple"))
    for ant, bee in (openai, simple):
        assert all("{" not in prompt and prompt.count("ant") == 1 for prompt in ant)
        assert [prompt.replace("ant", "bee") for prompt in ant] == bee
    assert (len(openai[0]), len(simple[0])) == (80, 7)
    assert set(simple[0]) <= set(openai[0])
    assert "a bad photo of a ant." in openai[0]


def test_lists_and_null(dataset: ClassificationSet) -> None:
    given = PromptSource(["a {c}", "{c}s"], "x")
    assert given.prompts(dataset) == [["a ant", "ants"], ["a bee", "bees"]]
    own = PromptSource(None, "x")
    assert own.prompts(dataset) == [["ant", "a picture of ant"], ["bee", "a picture of bee"]]


def test_a_file_has_templates_for_each_set_or_prompts_for_each_class(
    dataset: ClassificationSet, tmp_path: Path
) -> None:
    # The two formats of clip_benchmark: its own list by set, and CuPL's prompts by class.
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"s": ["a photo of {c}."], "t": {"ant": ["six legs", "antennae"]}}))
    source = PromptSource(str(path), "x")
    assert source.prompts(dataset) == [["a photo of ant."], ["a photo of bee."]]
    dataset.name = "t"
    with pytest.raises(ValueError, match=r"^x: t has no prompts for the class 'bee'$"):
        source.prompts(dataset)
    dataset.classnames = ["ant"]
    assert source.prompts(dataset) == [["six legs", "antennae"]]
    dataset.name = "u"
    with pytest.raises(ValueError, match=r"^x has no templates for u; it has: s, t$"):
        source.prompts(dataset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"prompts\.json is not JSON: "),
        ("[]", r"prompts\.json must map the names of sets"),
        ('{"s": []}', r"^x: s must have a list of prompts with \{c\}"),
        ('{"s": ["{}"]}', r"^x: s must have a list of prompts with \{c\}"),
        ('{"s": "a {c}"}', r"^x: s must have a list of prompts with \{c\}"),
        ('{"s": {"ant": []}}', r"^x: s: the prompts of 'ant' must be a list of texts$"),
        ('{"s": {"ant": "legs"}}', r"^x: s: the prompts of 'ant' must be a list of texts$"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        PromptSource(str(path), "x")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^x=.*none\.json is missing$"):
        PromptSource(str(tmp_path / "none.json"), "x")


@pytest.mark.parametrize("templates", ["imagenet", [], ["a {}"], [3], "a photo of a {c}", 3])
def test_anything_else_is_one_line_that_says_what_is_allowed(templates: object) -> None:
    message = r"^evaluation\.z\.templates=.*: must be null .*openai, simple, .*\{c\}.*set$"
    with pytest.raises(ValueError, match=message):
        PromptSource(templates, "evaluation.z.templates")  # type: ignore[arg-type]


def test_a_template_stays_text() -> None:
    assert fill("{c}: {c.__class__} {0}", "{dog}") == "{dog}: {c.__class__} {0}"


def test_a_set_without_its_own_asks_for_the_setting(tmp_path: Path) -> None:
    folder = coded_set(tmp_path / "s", [0], ["a"], shards=1)
    (folder / "zeroshot_classification_templates.txt").unlink()
    with pytest.raises(ValueError, match=r"templates\.txt is missing; set x to one of openai,"):
        PromptSource(None, "x").prompts(ClassificationSet(folder))
