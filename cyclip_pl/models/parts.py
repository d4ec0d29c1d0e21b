"""The encoder and the projector of a checkpoint's config: their classes, with their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import signature
from typing import Any

from torch import nn

from cyclip_pl.models.allowed import check_settings, shown
from cyclip_pl.models.trust import Trust, find_class, is_vouched_for


def part_of(config: Any, part: str, base: type[nn.Module], trust: Trust) -> Callable[..., Any]:
    """The class that the config names for a part, with its settings; nothing nested is built.

    A class of this package gets settings of the allow-list alone, unless `trust` is True. A class
    of a package that `trust` names gets all of them.

    Args:
        part: `encoder` or `projector`.
        base: What a class of this package must be.

    Raises:
        ValueError: A class or a setting that may not be built; one line.
    """
    node = config.get(part) if isinstance(config, dict) else None
    target = node.get("_target_") if isinstance(node, dict) else None
    if not isinstance(node, dict) or not isinstance(target, str):
        raise ValueError(f"its config has no {part} with a _target_")
    settings = {k: v for k, v in node.items() if not (isinstance(k, str) and k.startswith("_"))}
    if target.startswith(f"cyclip_pl.{part}s."):
        found = _own(target, base)
    elif is_vouched_for(target, trust):
        found = _vouched_for(target, part, settings)
    else:
        found = None
    if found is None:
        package = shown(target.partition(".")[0])
        raise ValueError(
            f"its {part} ({shown(target)}) is not a class of cyclip_pl.{part}s; if {package} is"
            f" your own package, model.trust={package} or load(…, trust={package!r})"
        )
    if trust is not True and found.__module__.startswith("cyclip_pl."):
        try:
            check_settings(settings, set(signature(found).parameters) - {"features"}, part)
        except ValueError as error:
            raise ValueError(
                f"{error}; if it is your own, model.trust=true or load(…, trust=True)"
            ) from error
    if "pretrained" in settings:
        # The weights are in the checkpoint; the file they started from may be gone.
        settings["pretrained"] = None
    return partial(found, **settings)


def _own(target: str, base: type[nn.Module]) -> type | None:
    try:
        return find_class(target, base)
    except ValueError:
        return None


def _vouched_for(target: str, part: str, settings: Mapping[str, Any]) -> type:
    """A class of the user's package: any network; a projector says how it projects."""
    try:
        found = find_class(target, nn.Module)
    except ValueError as error:
        raise ValueError(f"its {part} ({shown(target)}) {error}") from error
    if found is None:
        raise ValueError(f"its {part} ({shown(target)}) is not a class of torch.nn.Module")
    for name in _nested_targets(settings, part):
        raise ValueError(
            f"{name}: a part within a part is not built; let {target} build it from plain settings"
        )
    return found


def _nested_targets(node: Any, name: str) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key == "_target_":
            yield name
        yield from _nested_targets(value, f"{name}.{shown(key)}")
