"""Prompt templates: text with `{c}` where the class goes."""

from __future__ import annotations

from collections.abc import Sequence

from cyclip_pl.evaluation.datasets import TEMPLATES, ClassificationSet

NAMES = ("openai", "simple")


def _named(name: str) -> list[str]:
    import open_clip  # slow to import, and only these two names need it

    functions = {
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
        "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
    }[name]
    return [function("{c}") for function in functions]


def resolve(templates: str | Sequence[str] | None, setting: str) -> list[str] | None:
    """Templates from a setting: a name of `NAMES`, a list of templates, or None.

    `openai` is the 80 prompts for ImageNet of the CLIP release, `simple` the 7 best of them, both
    as open_clip has them. None stays None: each set's own.

    Raises:
        ValueError: One line that names `setting`.
    """
    allowed = (
        f"{setting} must be null (each set's own), one of {', '.join(NAMES)}, "
        "or a list of prompts with {c}"
    )
    if templates is None:
        return None
    if isinstance(templates, str):
        if templates not in NAMES:
            raise ValueError(f"{allowed}; got {templates!r}")
        return _named(templates)
    if not templates:
        raise ValueError(f"{allowed}; got an empty list")
    for template in templates:
        if not isinstance(template, str) or "{c}" not in template:
            raise ValueError(f"{allowed}; got {template!r}")
    return list(templates)


def own(dataset: ClassificationSet, setting: str) -> list[str]:
    """The set's own templates; ValueError where it has none."""
    if dataset.templates is None:
        raise ValueError(
            f"{dataset.folder / TEMPLATES} is missing: set {setting} to one of "
            f"{', '.join(NAMES)} or to a list of prompts with {{c}}"
        )
    return dataset.templates


def fill(template: str, name: str) -> str:
    """The template with the class's name; `str.format` would follow a stranger's attributes."""
    return template.replace("{c}", name)
