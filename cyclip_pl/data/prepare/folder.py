"""An output folder that is either whole or absent, also after a kill or with two writers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

META = "meta.json"
"""Written last; a folder without it is not a finished preparation."""


def finished(folder: Path, settings: dict[str, Any]) -> bool:
    """True if `folder` holds a preparation with these settings; False if there is nothing yet.

    Raises ValueError if something else is there: it is never overwritten in silence.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    found = _meta(folder)
    if found is None:
        raise ValueError(f"{folder}: exists and is not a prepared folder; choose another --output")
    for name, wanted in settings.items():
        if found.get(name) != wanted:
            raise ValueError(
                f"{folder}: was prepared with {name}={found.get(name)!r}, not {wanted!r}; "
                "pass --force to make it again"
            )
    return True


def _meta(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "prepared" in found else None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One preparation at a time; the lock goes with its process, so a kill leaves none behind."""
    handle: IO[bytes]
    with open(path, "ab") as handle:
        try:
            import fcntl
        except ImportError:  # not POSIX: the rename at the end still keeps the folder whole
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def building(output: Path, settings: dict[str, Any], force: bool = False) -> Iterator[Path | None]:
    """Yield a folder to fill, which becomes `output` at the end; None if `output` is finished.

    The caller fills the folder; `meta.json` is added here from `settings` and from what the
    caller left in `meta.json`. A failure or a kill leaves `output` as it was.

    Raises:
        ValueError: `output` exists and is something else, or was made with other settings.
    """
    output = Path(os.path.abspath(output))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.parent / f".{output.name}.partial"
    with _locked(output.parent / f".{output.name}.lock"):
        replace = force and output.exists() and _meta(output) is not None
        if not replace and finished(output, settings):
            yield None
            return
        shutil.rmtree(partial, ignore_errors=True)  # left by a preparation that was killed
        partial.mkdir()
        try:
            yield partial
            if replace:
                shutil.rmtree(output)
            partial.replace(output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_meta(folder: Path, kind: str, settings: dict[str, Any], facts: dict[str, Any]) -> None:
    """`meta.json`: what was prepared, with which settings, and what came out."""
    write_json(folder / META, {"prepared": kind, **settings, **facts})


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
