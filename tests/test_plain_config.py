"""A config as plain containers."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from cyclip_pl.plain_config import to_plain
from tests.helpers.composed import choices, composed


def test_lists_within_the_default_of_a_resolver() -> None:
    text = "${oc.select:none,[${a},${b}]}"
    config = OmegaConf.create({"a": [1, 2], "b": [{"c": 3}], "both": text, "deeper": [[text]]})
    found = to_plain(config)
    assert found["both"] == [[1, 2], [{"c": 3}]]
    assert kinds(found) <= {dict, list, int}


def test_options_reach_omegaconf() -> None:
    with pytest.raises(MissingMandatoryValue):
        to_plain(OmegaConf.create({"a": MISSING}), throw_on_missing=True)


@pytest.mark.parametrize("evaluation", choices("evaluation"))
def test_every_evaluation_on_the_demo_s_sets(evaluation: str) -> None:
    config = composed(f"evaluation=[{evaluation}]", "run_dir=unused")
    assert kinds(to_plain(config)) <= {dict, list, int, float, str, bool, type(None)}


def kinds(value: Any) -> set[type]:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*map(kinds, below))
