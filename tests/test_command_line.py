"""Paths: taken as they were typed, or answered with the spelling that Hydra takes."""

from __future__ import annotations

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cyclip_pl.command_line import as_typed, quoted

PARSER = OverridesParser.create()
NUMBERS = ["2024", "007", "1e5", "1_000", "true", "False", "nan", "-inf", "1.50", "+3", ".5"]
STRANGE = [
    *(
        "/data/a=b",
        "~/runs",
        "/data/a b",
        "/a,b",
        "[a]",
        "a[b]",
        "{a: b}",
        "a{b,c}",
        "a(b)",
        "run(1)",
    ),
    *(
        "a#b",
        "a%b",
        "a'b",
        'a"b',
        "a\\b",
        'a\\"b',
        "a\\",
        "a\\\\",
        "café",
        "日本",
        "a;b",
        "a&b",
        "a!b",
    ),
    *(" a", "a ", "a:b", "-a", "null", "'a'", '"a"', "a\tb", "*", "$a"),
]


def value_of(argument: str) -> object:
    return PARSER.parse_override(argument).value()


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize(
    "setting", ["checkpoint", "resume", "features.cache", "data.train.shards", "hydra.run.dir"]
)
def test_a_number_is_taken_as_it_was_typed(setting: str, text: str) -> None:
    assert value_of(as_typed(f"{setting}={text}")) == text


def test_null_is_text_where_a_path_is_needed() -> None:
    assert value_of(as_typed("checkpoint=NULL")) == "NULL"
    assert value_of(as_typed("resume=null")) is None
    assert value_of(as_typed("experiment=null")) is None
    assert value_of(as_typed("logger=null")) == []


def test_lists_and_sweeps_of_numbers() -> None:
    shards = "data.train.shards=[007, {shards: 1e5, weight: 0.5}, a, 'b']"
    expected = ["007", {"shards": "1e5", "weight": 0.5}, "a", "b"]
    assert value_of(as_typed(shards)) == expected
    swept = PARSER.parse_override(as_typed("checkpoint=007,1_0,a"))
    assert list(swept.sweep_string_iterator()) == ["007", '"1_0"', "a"]
    assert value_of(as_typed("+evaluation.datasets=[2024,x]")) == ["2024", "x"]


@pytest.mark.parametrize(
    "argument",
    [
        "seed=007",
        "data.batch_size=64",
        "evaluation.zero_shot.top_k=[1,2]",
        "-m",
        "~logger.csv",
        "x",
    ],
)
def test_other_arguments_stay(argument: str) -> None:
    assert as_typed(argument) == argument


def test_the_name_of_a_choice_may_be_a_number() -> None:
    assert value_of(as_typed("experiment=2024")) == "2024"


@pytest.mark.parametrize("text", STRANGE)
def test_the_spelling_that_is_shown_works(text: str) -> None:
    (argument,) = shlex.split(quoted(f"resume={text}"))
    assert as_typed(argument) == argument
    assert value_of(argument) == text


def test_the_spelling_of_a_list() -> None:
    (argument,) = shlex.split(quoted("data.train.shards=[/a=b, /c#d]"))
    assert value_of(argument) == ["/a=b", "/c#d"]


@pytest.mark.parametrize("text", ["[a]", "{a: b}", ""])
@pytest.mark.parametrize("setting", ["features.cache", "hydra.run.dir", "resume"])
def test_a_path_is_not_a_list(setting: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting}=") as caught:
        as_typed(f"{setting}={text}")
    assert not text or quoted(f"{setting}={text}") in str(caught.value)
