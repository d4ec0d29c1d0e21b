"""Class names and prompts of torchvision's sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.sets.catalogue import Entry

logger = logging.getLogger(__name__)

PLAIN = ("a photo of a {c}.",)  # CLIP's default


def names_and_templates(name: str, entry: Entry, own: Sequence[str]) -> tuple[list[str], list[str]]:
    """The published class names and prompts of a set, else its own names and a plain prompt.

    ImageNet's are those of open_clip. For the others they come from the files that the package
    clip_benchmark carries, if it is installed; they are read, it is not imported. The log says
    when a set has none.

    Args:
        name: What the log calls the set.
        own: The names that torchvision, or the table, has for the K classes.
    """
    if entry.torchvision == "ImageNet" and len(own) == 1000:
        import open_clip  # slow to import, and only ImageNet needs it

        templates = [template("{c}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
        return list(open_clip.IMAGENET_CLASSNAMES), templates
    names = _packaged("en_classnames.json").get(entry.prompts)
    # Caltech101's counts the background as a class, which torchvision leaves out.
    classnames = names if names is not None and len(names) == len(own) else own
    published = _packaged("en_zeroshot_classification_templates.json").get(entry.prompts)
    if published is None and rank() == 0:
        logger.warning(
            "%s: the plain prompt %r; with the package clip_benchmark, the published ones",
            name,
            PLAIN[0],
        )
    return list(classnames), list(PLAIN if published is None else published)


def _packaged(file: str) -> dict[str | None, Any]:
    spec = find_spec("clip_benchmark")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "datasets" / file
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return {}
