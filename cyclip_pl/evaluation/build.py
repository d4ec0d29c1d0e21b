"""Evaluations from their entries in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cyclip_pl.evaluation.protocols.base import Evaluation
from cyclip_pl.evaluation.sets.library import Library

CADENCE = "cadence"  # a key of the training's, not of the protocol's
LIBRARY = "library"
# What entries refer to, itself no evaluation.
SETS = ("datasets", "default_sets", LIBRARY)


def entries(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `evaluation` node without `SETS`: name -> settings, resolved."""
    if OmegaConf.is_config(config):
        # Resolved here, where interpolations still see the whole configuration.
        config = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return {name: entry for name, entry in (config or {}).items() if name not in SETS}


def build(config: Mapping[str, Any] | None) -> dict[str, Evaluation]:
    """The `evaluation` node, name -> settings with a `_target_`, as evaluations by name.

    The keys of `SETS` are what its entries refer to. `evaluation.library` becomes a
    `Library` that all of them share.

    Raises:
        ValueError: One line that names the setting.
    """
    evaluations: dict[str, Evaluation] = {}
    library = _library(config)
    for name, entry in entries(config).items():
        if not isinstance(entry, Mapping) or "_target_" not in entry:
            raise ValueError(f"evaluation.{name} must have a _target_; got {entry!r}")
        settings = {key: value for key, value in entry.items() if key != CADENCE}
        try:
            evaluations[name] = instantiate(settings, name=name, library=library, _convert_="all")
        except InstantiationException as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            first = str(error.__cause__ or error).splitlines()[0]
            raise ValueError(f"evaluation.{name}: {first}") from error
    return evaluations


def _library(config: Mapping[str, Any] | None) -> Library:
    settings = (config or {}).get(LIBRARY) or {}
    try:
        return Library(**settings)
    except TypeError as error:
        raise ValueError(f"evaluation.{LIBRARY} has root, downloads and download") from error
