"""The data sets of `catalogue.yaml`, and their published class names and prompt templates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.sets.templates import named_templates
from cyclip_pl.evaluation.sets.texts import read_json

logger = logging.getLogger(__name__)

PLAIN = "a photo of a {c}."  # CLIP's default


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


def names_and_templates(name: str, entry: Entry, own: Sequence[str]) -> tuple[list[str], list[str]]:
    """The published class names and templates of a set; or its own names and `PLAIN`.

    ImageNet's come from open_clip. The others come from files of the package clip_benchmark, if it
    is installed; the files are read, the package is not imported. Without it a warning says so.
    """
    if entry.torchvision == "ImageNet" and len(own) == 1000:
        import open_clip  # slow to import, and only ImageNet needs it

        return list(open_clip.IMAGENET_CLASSNAMES), named_templates("openai")
    names = _packaged("en_classnames.json").get(entry.prompts)
    # clip_benchmark counts the background of Caltech101 as a class, torchvision does not.
    classnames = names if names is not None and len(names) == len(own) else own
    published = _packaged("en_zeroshot_classification_templates.json").get(entry.prompts)
    if published is None and rank() == 0:
        logger.warning(
            f"{name}: uses the plain prompt {PLAIN!r}; install clip_benchmark for the published "
            "prompts"
        )
    return list(classnames), [PLAIN] if published is None else published


def _packaged(file: str) -> dict[str | None, Any]:
    spec = find_spec("clip_benchmark")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "datasets" / file
        if path.is_file():
            return read_json(path)
    return {}
