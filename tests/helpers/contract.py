"""What every config of a component group promises."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def target(config: Any) -> type:
    """The class that `_target_` names by its full module path."""
    module, _, name = config["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def assert_keys_are_arguments(config: Any, given: set[str] = frozenset()) -> None:
    """The YAML states every argument of the constructor but those that the wiring gives."""
    arguments = inspect.signature(target(config)).parameters
    assert {k for k in config if not k.startswith("_")} == set(arguments) - set(given)


def assert_has_test(config: Any, group: str) -> None:
    """`<group>/<module>.py` is tested by `tests/<group>/test_<module>.py`."""
    module = config["_target_"].rsplit(".", 2)[-2]
    assert (TESTS / group / f"test_{module}.py").is_file()
