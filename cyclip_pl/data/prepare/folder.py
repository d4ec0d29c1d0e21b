"""An output folder that is whole or absent, even after a kill or with two writers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclip_pl.files import atomic, locked, reason

META = "meta.json"
"""Written last: a folder without it is not a finished preparation."""

PROGRESS = "progress.json"
"""How far an unfinished preparation is; its folder is kept."""


def vacant(folder: Path) -> bool:
    """Whether `folder` is missing or empty."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def outdated(made: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether an earlier version (a lower `layout`) `made` a folder with these settings."""
    same = all(made.get(name) == settings[name] for name in settings.keys() - {"layout"})
    layout = made.get("layout")
    return same and isinstance(layout, int) and layout < settings.get("layout", layout)


def read_meta(folder: Path) -> dict[str, Any] | None:
    """`meta.json` of a preparation; None if `folder` is not one."""
    try:
        found = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "prepared" in found else None


def _finished(output: Path, settings: dict[str, Any], force: bool) -> bool:
    """False where `output` must be made; raises ValueError where it must not be replaced."""
    if vacant(output):
        return False
    made = read_meta(output)
    if made is None:
        raise ValueError(
            f"--output {output}: exists and is not a prepared folder; choose another one"
        )
    if force or outdated(made, settings):
        return False
    for name, wanted in settings.items():
        if made.get(name) != wanted:
            raise ValueError(
                f"--output {output}: was prepared with {name}={made.get(name)!r}, not {wanted!r}; "
                "pass --force to replace it"
            )
    return True


def read_progress(folder: Path, settings: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """What `write_progress` noted, if it was with these settings; None if nothing."""
    try:
        found = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["state"] if settings is None or found["settings"] == settings else None


def write_progress(folder: Path, settings: dict[str, Any], state: dict[str, Any]) -> None:
    """Note where the next preparation with these settings goes on; what it needs is on the disk."""
    with atomic(folder / PROGRESS) as path:
        write_json(path, {"settings": settings, "state": state})


@contextlib.contextmanager
def building(
    output: Path, settings: dict[str, Any], force: bool = False, resumable: bool = False
) -> Iterator[Path | None]:
    """Yield a folder that becomes `output` at the end; None if `output` is finished.

    The caller fills the folder and calls `write_meta` last. A failure or a kill leaves `output` as
    it was; the unfinished folder is removed, at the latest by the next preparation.

    Args:
        output: The folder to make. One that an earlier version made is replaced.
        settings: What the content depends on, in JSON's types.
        force: Whether to replace a preparation with other settings.
        resumable: Whether a folder with a progress note is kept, and is what the next preparation
            with the same settings gets; with `force` it starts over.

    Raises:
        ValueError: `output` exists and is something else, was made with other settings, or cannot
            be written.
    """
    output = Path(os.path.realpath(output))
    try:
        if _finished(output, settings, force):
            yield None
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        partial, old = (output.parent / f".{output.name}.{end}" for end in ("partial", "old"))
        with locked(output.parent / f".{output.name}.lock"):
            # Another process may have made it while this one waited.
            if _finished(output, settings, force):
                yield None
                return
            if force or read_progress(partial, settings) is None:
                shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(exist_ok=True)
            try:
                yield partial
                assert read_meta(partial) is not None, "meta.json is written last"
                _sync(partial)
                (partial / PROGRESS).unlink(missing_ok=True)
                if read_meta(output) is not None:
                    output.replace(old)
                partial.replace(output)
            finally:
                if not (resumable and read_progress(partial)):
                    shutil.rmtree(partial, ignore_errors=True)
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:  # a full disk, a folder that may not be written
        where = error.filename or f"--output {output}"
        why = error.strerror or reason(error)
        raise ValueError(f"{where}: {why}; {what_is_left(output)}") from error


def what_is_left(output: Path) -> str:
    """What an interrupted preparation of `output` has left, for the user."""
    output = Path(os.path.realpath(output))
    partial = output.parent / f".{output.name}.partial"
    if read_progress(partial):
        return "full shards are kept, and the same command goes on from there"
    return "nothing was written"


def _sync(folder: Path) -> None:
    """Bring the files to the disk, before the folder gets the name that says it is whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_meta(folder: Path, settings: dict[str, Any], facts: dict[str, Any]) -> None:
    """`meta.json`: what was prepared (`settings["prepared"]`), how, and what came out."""
    assert "prepared" in settings
    write_json(folder / META, {**settings, **facts})


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
