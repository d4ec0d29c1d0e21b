"""A config as plain containers, which checkpoints and other processes can read."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf


def to_plain(config: DictConfig, **options: Any) -> dict[str, Any]:
    """The resolved config in dicts and lists; `options` are those of `OmegaConf.to_container`.

    A list that a resolver gives, such as the default of `oc.select`, may hold configs, which
    `to_container` leaves as they are. So it is called again on what it gave.
    """
    first = OmegaConf.to_container(config, resolve=True, **options)
    again: Any = OmegaConf.to_container(OmegaConf.create(first))
    return again
