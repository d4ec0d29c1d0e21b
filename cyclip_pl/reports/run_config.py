"""What a run was made with: its settings and the choices of its config groups, flat."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cyclip_pl.reports.run_files import plain, read_object, read_text

# They say where a run is and how it began, not what it is.
_IGNORED = ("run_dir", "run_id", "first_step", "resume", "overwrite")
_MOST_SETTINGS = 20_000
_DEEPEST = 40


@dataclass(frozen=True)
class RunConfig:
    """Empty where a folder does not say.

    Attributes:
        settings: Dotted name -> value as text.
        choices: Config group -> choice as text.
        typed: What the command line names, in its order.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    typed: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):
    """Without aliases, a few of which could stand for any number of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def read_config(folder: Path) -> RunConfig:
    """From `config.yaml` and `provenance.json`, as far as they are there.

    Raises:
        ValueError: One line that names the file.
    """
    file = folder / "config.yaml"
    settings: dict[str, str] = {}
    if file.exists():
        try:
            content = yaml.load(read_text(file), _Loader)
            own = content.get("run_dir") if isinstance(content, dict) else None
            for name, value in _leaves(content, "", 0):
                if name.split(".")[0] not in _IGNORED:
                    settings[plain(name)] = _text(value, own)
                if len(settings) > _MOST_SETTINGS:
                    raise ValueError("too many settings")
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            if str(error).startswith(str(file)):
                raise
            raise ValueError(f"{file} is not the YAML of a run") from error
    made_by = folder / "provenance.json"
    about = read_object(made_by) if made_by.exists() else {}
    choices = about.get("choices")
    found = choices.items() if isinstance(choices, dict) else ()
    return RunConfig(
        settings,
        {plain(group): _text(choice, None) for group, choice in found},
        _typed(about.get("command")),
    )


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if isinstance(value, dict) and (value or not name):
        for key, below in value.items():
            yield from _leaves(below, f"{name}.{key}" if name else str(key), depth + 1)
    elif name:
        yield name, value


def _text(value: Any, own: Any) -> str:
    """As one types it; the run's own folder, which no two runs share, is `RUN`."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(own, str) and own:
        text = text.replace(own, "RUN")
    return plain(text)


def _typed(command: Any) -> tuple[str, ...]:
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        words = []
    return tuple(word.split("=")[0].lstrip("+~") for word in words if "=" in word)
