"""Where a run goes on, and what it may change there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from cyclip_pl.checkpoints import places
from cyclip_pl.checkpoints.files import AVERAGED_FROM, LAST, checkpoint_file, read_checkpoint
from cyclip_pl.checkpoints.shards import shape_alone

# Settings that a checkpoint's state depends on: shapes, parameters that learn, random numbers.
FIXED = (
    "seed",
    "encoder.image_size",
    "encoder.context_length",
    "encoder.architecture",
    "encoder.lock_image",
    "encoder.lock_text",
    "encoder.lock_image_unlocked_groups",
    "encoder.lock_text_unlocked_layers",
    "encoder.quick_gelu",
    "encoder.mean",
    "encoder.std",
    "optimizer._target_",
    "optimizer.name",
)
# Groups of which a default must not take the place of the run's choice unasked.
_METHOD = ("objective", "projector", "views", "data", "optimizer", "scheduler")
# Settings of the encoder that a folder or pretrained weights decide, where they are null.
_OF_WEIGHTS = ("image_size", "quick_gelu", "mean", "std")
# Settings of values that a run begins with and learns.
_FIRST_VALUE = re.compile(r"objective\.(.+\.)?init_\w+")
_BEGINNING = re.compile(rf"encoder\.pretrained|{_FIRST_VALUE.pattern}")
# These say where and how a run starts, not what it is.
_OF_A_START = ("resume", "overwrite", "run_dir", "run_id", "first_step", "logger")
_MOST_CHANGES = 20
_OURS = re.compile(r"(best|last|step_\d+)\.ckpt")


class Start(NamedTuple):
    """Where a resumed run goes on.

    Attributes:
        path: The checkpoint, a file or a URL.
        step: Optimiser steps that it has made.
        epochs: Whole epochs that it has made.
        run_id: What names the run to loggers; None if the checkpoint has none.
        config: The settings that it was made with.
        provenance: What made it.
    """

    path: Path | str
    step: int
    epochs: int
    run_id: str | None
    config: dict[str, Any]
    provenance: dict[str, Any]


def held(dirpath: str | Path) -> list[str]:
    """The checkpoints that a run has left in a folder of checkpoints: best, last, steps."""
    return sorted(name for name in places.folder(dirpath).names() if _OURS.fullmatch(name))


def clear(dirpath: str | Path) -> None:
    """Remove those; other files stay."""
    place = places.folder(dirpath)
    for name in held(dirpath):
        place.remove(name)


def find(resume: str | None, dirpath: str | Path) -> Path | str | None:
    """The checkpoint that `resume` names; of `auto`, that of the run's own folder, if any."""
    if resume == "auto":
        return checkpoint_file(dirpath, "resume") if held(dirpath) else None
    return None if resume is None else checkpoint_file(resume, "resume")


def lies_in(path: Path | str, dirpath: str | Path) -> bool:
    """Whether a checkpoint is one of a folder of checkpoints."""
    there, here = places.split(path)[0].at(LAST), places.folder(dirpath).at(LAST)
    if isinstance(there, Path) and isinstance(here, Path):
        return there.parent.resolve() == here.parent.resolve()
    return there == here


def read_start(path: Path | str) -> Start:
    """Read where the run of a checkpoint goes on.

    Raises:
        ValueError: It is not a checkpoint that a run can be resumed from.
    """
    checkpoint = read_checkpoint(path, shape_alone)
    if "optimizer_states" not in checkpoint:
        raise ValueError(f"resume={path}: has weights only, like best.ckpt; take last.ckpt")
    config, made_by = checkpoint["config"], checkpoint.get("provenance")
    run_id = config.get("run_id")
    try:
        fit = checkpoint["loops"]["fit_loop"]
        epochs = fit["epoch_progress"]["current"]
        # A checkpoint behind the last batch of an epoch may precede the end of the epoch.
        ended = fit["epoch_loop.batch_progress"]["is_last_batch"]
        step, epoch = int(checkpoint["global_step"]), int(epochs["ready" if ended else "processed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"resume={path}: does not say where its run stopped; take last.ckpt of a run folder"
        ) from error
    return Start(
        path,
        step,
        epoch,
        run_id if isinstance(run_id, str) and re.fullmatch(r"\w{1,64}", run_id) else None,
        config,
        made_by if isinstance(made_by, dict) else {},
    )


def of_weights(start: Start, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `encoder` that what the run began with decides; it may be gone."""
    was = start.config.get("encoder")
    was = was if isinstance(was, dict) else {}
    found = {
        name: was[name]
        for name in _OF_WEIGHTS
        if name in encoder and encoder[name] is None and was.get(name) is not None
    }
    # A network and its weights in one folder: the checkpoint has its config as the architecture.
    source = encoder.get("architecture")
    if isinstance(source, str) and source == was.get("pretrained") and "architecture" in was:
        found |= {"architecture": was["architecture"], "pretrained": source}
    return found


def check_choices(start: Start, choices: dict[str, Any], typed: set[str]) -> None:
    """Raise ValueError, one line, if a choice of the run is left out, so that a default stands in.

    Args:
        choices: This command's choice of each config group.
        typed: The groups that it names. An objective may choose projector and views, and an
            experiment all of them.
    """
    made: Any = start.provenance.get("choices")
    if not isinstance(made, dict) or not choices or {"experiment", "sweep"} & typed:
        return
    chosen = {"projector", "views"} if "objective" in typed else set()
    left_out = [
        group
        for group in _METHOD
        if group not in typed | chosen and group in made and made[group] != choices.get(group)
    ]
    if left_out:
        was = " ".join(f"{group}={_short(made[group])}" for group in left_out)
        now = " ".join(f"{group}={choices.get(group)}" for group in left_out)
        raise ValueError(
            f"resume={start.path}: was trained with {was}, which this command leaves out; add"
            f" {was} to go on, or {now} to change it"
        )


def changes(start: Start, config: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ from the checkpoint's: (the checkpoint's, this run's) by dotted name.

    Raises:
        ValueError: One of them cannot change when a run is resumed; names it.
    """
    was, now = _settings(start.config), _settings(config)
    found = {
        name: (was.get(name, "unset"), now.get(name, "unset"))
        for name in sorted(was.keys() | now.keys())
    }
    found = {name: p for name, p in found.items() if p[0] != p[1] and not _left_to_it(name, *p)}
    for fixed in FIXED:
        for name, (before, value) in found.items():
            if name == fixed or name.startswith(f"{fixed}."):
                raise ValueError(
                    f"resume={start.path}: was trained with {name}={_short(before)}, this run has"
                    f" {_short(value)}"
                )
    other_objective = "objective._target_" in found  # `check_weights` says whether it fits
    for name, (before, value) in found.items():
        if other_objective and name.startswith("objective."):
            continue
        if _BEGINNING.fullmatch(name) and "unset" not in (before, value):
            raise ValueError(
                f"{name}={_short(value)}: is where a run begins, and this one goes on from"
                f" {start.path}; set {name}={_short(before)}, which it began with"
            )
    return found


def _left_to_it(name: str, before: Any, value: Any) -> bool:
    """Whether null leaves a setting to the checkpoint: unknown then, or only of the beginning."""
    return value is None and (before == "unset" or _FIRST_VALUE.fullmatch(name) is not None)


def changes_line(start: Start, found: dict[str, tuple[Any, Any]]) -> str:
    """One line that lists `changes`."""
    shown = [f"{name} {_short(was)} → {_short(now)}" for name, (was, now) in found.items()]
    more = len(shown) - _MOST_CHANGES
    rest = f", and {more} more (see provenance.json)" if more > 0 else ""
    listed = ", ".join(shown[:_MOST_CHANGES]) + rest
    return f"resume={start.path}: settings that are not those of the checkpoint: {listed}"


def check_weights(path: Path | str, module: nn.Module) -> None:
    """Raise ValueError, one line, unless the weights in `path` fit the module."""
    trained, wanted = read_checkpoint(path, shape_alone)["state_dict"], module.state_dict()
    for name in sorted(trained.keys() | wanted.keys()):
        was, now = (tuple(s[name].shape) if name in s else "none" for s in (trained, wanted))
        if was != now:
            raise ValueError(
                f"resume={path}: was trained with another {name.partition('.')[0]}: its {name} has"
                f" the shape {was}, this run's {now}"
            )


def check_average(path: Path | str, kept: bool) -> None:
    """Raise ValueError, one line, if the run in `path` kept an average of its weights, not this."""
    if AVERAGED_FROM in read_checkpoint(path, shape_alone) and not kept:
        raise ValueError(
            f"resume={path}: was trained with callbacks.ema, which this command leaves out, and so"
            " its weights are an average; add callbacks=[default,ema] to go on"
        )


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, the run folder as `run_dir` wherever it stands."""
    folder = str(config.get("run_dir"))
    of_run = {key: value for key, value in config.items() if key not in _OF_A_START}
    return {
        name: value.replace(folder, "run_dir") if isinstance(value, str) else value
        for name, value in leaves(of_run).items()
    }


def leaves(node: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(node, dict):
        return {name: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= leaves(value, f"{name}.{key}" if name else str(key))
    return found


def _short(value: Any) -> str:
    """As one types it; a checkpoint may be anybody's, so without what moves the cursor."""
    text = "null" if value is None else str(value)
    text = "".join(c for c in text if c.isprintable())
    return text if len(text) <= 60 else f"{text[:57]}…"
