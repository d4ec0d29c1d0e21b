"""Prompt templates: text in which `{c}` stands for the class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.texts import read_json
from cyclip_pl.layout import TEMPLATES

NAMES = ("openai", "simple")

Templates = list[str] | dict[str, list[str]]
"""Templates for all classes, or the complete prompts of each class by its name."""


def named_templates(name: str) -> list[str]:
    """open_clip's prompt templates for ImageNet: `openai` or `simple`."""
    import open_clip  # slow to import, and only these two names need it

    functions = {
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
        "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
    }[name]
    return [function("{c}") for function in functions]


class PromptSource:
    """Gives each set its prompts.

    Args:
        templates: None for each set's own; `openai`, the 80 templates for ImageNet of the CLIP
            release, or `simple`, the 7 best of them, both from open_clip; a list of templates; a
            mapping of sets to lists of templates; or a JSON file with such a mapping, as
            `clip_benchmark` has them. In a mapping, a set may have complete prompts by class
            instead of a list (CuPL, arXiv 2209.03320).
        setting: The name of this setting, for messages.

    Raises:
        ValueError: One line that names `setting`.
    """

    def __init__(
        self, templates: str | Sequence[str] | Mapping[str, Any] | None, setting: str
    ) -> None:
        self._setting = setting
        self._templates: list[str] | dict[str, Templates] | None = None
        self.title = "own" if templates is None else "given"
        if isinstance(templates, str) and templates.endswith(".json"):
            self.title, where = Path(templates).name, f"{setting}={templates}"
            try:
                templates = read_json(Path(templates))
            except ValueError as error:
                raise ValueError(f"{setting}={error}") from error
            if not isinstance(templates, dict):
                raise ValueError(f"{where} must map the names of sets to their templates")
        elif isinstance(templates, str) and templates in NAMES:
            self.title = templates
            templates = named_templates(templates)
        if isinstance(templates, Mapping):
            of_sets = templates.items()
            self._templates = {str(name): _checked(t, f"{setting}: {name}") for name, t in of_sets}
        elif isinstance(templates, Sequence) and _are_templates(templates):
            self._templates = list(templates)
        elif templates is not None:
            raise ValueError(
                f"{setting}={templates}: must be null (each set's own), one of {', '.join(NAMES)}, "
                "a list of prompts with {c}, or a JSON file or mapping of such lists by set"
            )

    def prompts(self, dataset: LabelledSet) -> list[list[str]]:
        """The prompts of each class of a set.

        Raises:
            ValueError: This set, or one of its classes, has no prompts; one line.
        """
        setting, name, classnames = self._setting, dataset.name, dataset.classnames
        templates: Any = dataset.templates if self._templates is None else self._templates
        if templates is None:
            raise ValueError(
                f"{name}: {TEMPLATES} is missing; set {setting} to one of {', '.join(NAMES)} or "
                "to a list of prompts with {c}"
            )
        if isinstance(self._templates, dict):
            templates = self._templates.get(name)
            has = ", ".join(self._templates) or "none"
            if templates is None:
                raise ValueError(f"{setting} has no templates for {name}; it has: {has}")
        if isinstance(templates, list):
            return [[fill(template, of) for template in templates] for of in classnames]
        if missing := [of for of in classnames if of not in templates]:
            raise ValueError(f"{setting}: {name} has no prompts for the class {missing[0]!r}")
        return [templates[of] for of in classnames]


def fill(template: str, name: str) -> str:
    """Put the class name into a template, without `str.format`, which would read attributes."""
    return template.replace("{c}", name)


def _are_templates(templates: Any) -> bool:
    return bool(templates) and all(isinstance(t, str) and "{c}" in t for t in templates)


def _checked(templates: Any, what: str) -> Templates:
    if isinstance(templates, Mapping):
        for name, prompts in templates.items():
            texts = isinstance(prompts, list) and all(isinstance(text, str) for text in prompts)
            if not texts or not prompts:
                raise ValueError(f"{what}: the prompts of {name!r} must be a list of texts")
        return dict(templates)
    if not isinstance(templates, list) or not _are_templates(templates):
        raise ValueError(f"{what} must have a list of prompts with {{c}}, or one for each class")
    return list(templates)
