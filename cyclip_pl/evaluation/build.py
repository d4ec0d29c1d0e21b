"""Evaluations from their entries in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from cyclip_pl.evaluation.protocol import Evaluation

CADENCE = "cadence"  # a key of the training's, not of the protocol's
# Defaults that entries refer to, themselves no evaluations.
SETS = ("datasets", "caption_sets", "labelled_sets", "probe_sets")


def entries(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `evaluation` node without `SETS`: name -> settings, resolved."""
    if OmegaConf.is_config(config):
        # Resolved here, where interpolations still see the whole configuration.
        config = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return {name: entry for name, entry in (config or {}).items() if name not in SETS}


def build(config: Mapping[str, Any] | None) -> dict[str, Evaluation]:
    """The `evaluation` node, name -> settings with a `_target_`, as evaluations by name.

    `evaluation.datasets` and the others of `SETS` are what its entries refer to.

    Raises:
        ValueError: One line that names the setting.
    """
    evaluations: dict[str, Evaluation] = {}
    for name, entry in entries(config).items():
        if not isinstance(entry, Mapping) or "_target_" not in entry:
            raise ValueError(f"evaluation.{name} must have a _target_; got {entry!r}")
        settings = {key: value for key, value in entry.items() if key != CADENCE}
        try:
            evaluations[name] = instantiate(settings, name=name, _convert_="all")
        except InstantiationException as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            first = str(error.__cause__ or error).splitlines()[0]
            raise ValueError(f"evaluation.{name}: {first}") from error
    return evaluations
