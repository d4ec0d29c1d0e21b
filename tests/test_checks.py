from __future__ import annotations

import pytest

from cyclip_pl import checks


def message(check, *args, **kwargs) -> str:
    with pytest.raises(ValueError) as caught:
        check("data.x", *args, **kwargs)
    return str(caught.value)


def test_whole() -> None:
    checks.whole("data.x", 1)
    checks.whole("data.x", 0, least=0)
    checks.whole("data.x", None, optional=True)
    assert message(checks.whole, 0) == "data.x=0: must be a whole number of at least 1"
    assert message(checks.whole, None) == "data.x=null: must be a whole number of at least 1"
    for value in (True, 2.0, "2"):
        message(checks.whole, value)
    expected = "data.x=0: must be null or a whole number of at least 1"
    assert message(checks.whole, 0, optional=True) == expected


def test_number() -> None:
    checks.number("data.x", 0, least=0)
    checks.number("data.x", None, above=0, optional=True)
    assert message(checks.number, 0, above=0) == "data.x=0: must be a number above 0"
    expected = "data.x=1.5: must be a number above 0 and at most 1"
    assert message(checks.number, 1.5, above=0, most=1) == expected
    assert message(checks.number, "a") == "data.x=a: must be a number"
    for value in (True, float("nan"), float("inf"), -0.1):
        message(checks.number, value, least=0)
    assert message(checks.probability, 2) == "data.x=2: must be a number at least 0 and at most 1"


def test_one_of() -> None:
    checks.one_of("data.x", "a", "ab")
    checks.one_of("data.x", None, "ab", optional=True)
    assert message(checks.one_of, "c", "ab") == "data.x=c: must be one of a, b"


def test_whole_numbers() -> None:
    assert checks.whole_numbers("data.x", [3, 1, 3]) == (3, 1)
    assert checks.whole_numbers("data.x", [0], least=0) == (0,)
    expected = "data.x=[0]: must be a list of whole numbers of at least 1"
    assert message(checks.whole_numbers, [0]) == expected
    for value in (3, "3", [], [True], None):
        message(checks.whole_numbers, value)


def test_interval() -> None:
    checks.interval("data.x", [0.5, 1], 0, 1)
    expected = "data.x=[0, 1]: must be [least, greatest], two numbers above 0 and at most 1"
    assert message(checks.interval, [0, 1], 0, 1) == expected
    for value in ([1, 0.5], [0.5], 3, "ab"):
        message(checks.interval, value, 0, 1)


def test_did_you_mean() -> None:
    assert checks.did_you_mean("cifar11", {"cifar10", "dtd"}) == "; did you mean cifar10?"
    assert checks.did_you_mean("zzz", ["cifar10", "dtd"]) == ""
