"""Evaluations from their entries in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.plain_config import to_plain

CADENCE = "cadence"  # a key of the training's, not of the protocol's
_SETS = ("datasets", "in_distribution", "shifted")  # settings that name sets


def entries(config: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """The evaluations of the `evaluation` node: what has a `_target_`, name -> settings, resolved.

    Its other keys are what these refer to.
    """
    return {
        name: entry
        for name, entry in _resolved(config).items()
        if isinstance(entry, Mapping) and "_target_" in entry
    }


def without_sets(config: Mapping[str, Any] | None) -> list[str]:
    """The evaluations for which nobody has named a set, and no default does."""
    return [
        name
        for name, entry in entries(config).items()
        if any(key in entry and _is_empty(entry[key]) for key in _SETS)
    ]


def _is_empty(sets: Any) -> bool:
    return sets is None or (isinstance(sets, list) and sets != [] and not any(sets))


def build(config: Mapping[str, Any] | None) -> dict[str, Protocol[Any]]:
    """The evaluations of the `evaluation` node, by name, but those without sets.

    `evaluation.library` becomes a `Library` that all of them share.

    Raises:
        ValueError: One line that names the setting.
    """
    evaluations: dict[str, Protocol[Any]] = {}
    library = _library(_resolved(config).get("library"))
    left_out = without_sets(config)
    for name, entry in entries(config).items():
        if name in left_out:
            continue
        settings = {key: value for key, value in entry.items() if key != CADENCE}
        try:
            evaluations[name] = instantiate(settings, name=name, library=library, _convert_="all")
        except InstantiationException as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            first = str(error.__cause__ or error).splitlines()[0]
            raise ValueError(f"evaluation.{name}: {first}") from error
    return evaluations


def _resolved(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Plain containers; resolved here, where interpolations still see the whole configuration."""
    if OmegaConf.is_config(config):
        return to_plain(cast(DictConfig, config))
    return dict(config or {})


def _library(settings: Mapping[str, Any] | None) -> Library:
    try:
        return Library(**(settings or {}))
    except TypeError as error:
        raise ValueError("evaluation.library: has root, downloads and download") from error
