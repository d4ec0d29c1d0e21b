"""The data sets of `catalogue.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf


@dataclass(frozen=True)
class Entry:
    """One data set; `catalogue.yaml` explains the fields."""

    torchvision: str | None = None
    wds: str | None = None
    metric: str = "acc1"
    folder: str = ""
    splits: Mapping[str, Any] = field(default_factory=dict)
    train_per_class: int | None = None
    prompts: str | None = None
    classnames: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@cache
def entries() -> dict[str, Entry]:
    """All data sets, by name."""
    table = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("catalogue.yaml")))
    return {name: Entry(**row) for name, row in cast(dict[str, Any], table).items()}
