"""Files that several processes write, or that a crash must not leave half written."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the lock ends with its process, so a kill leaves none behind."""
    try:
        import fcntl
    except ImportError:  # not POSIX: writers rename at the end, which keeps files whole
        yield
        return
    with open(path, "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process ({path})", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write `path` whole or not at all: yields a new file beside it, renamed at the end.

    The file reaches the disk before its name does, and both before this returns. If the block
    raises, the new file is removed and what stood at `path` stays. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        # mkstemp's file is for its owner alone; this one is like any other new file.
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_names(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder whole or not at all: yields a new one beside `path`, renamed at the end.

    If the block raises, the new folder is removed and what stood at `path` stays. Missing parents
    are made.

    Raises:
        FileExistsError: Something that is not an empty folder stands at `path`, and `overwrite` is
            false, or it is not a folder.
    """
    check_free(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial"))
    before = partial.with_suffix(".before")
    try:
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(0o666 & ~mask)  # safetensors makes files for their owner alone
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        check_free(path, overwrite)
        # A folder replaces an empty one, but not a full one.
        if path.exists():
            path.rename(before)
        partial.rename(path)
        sync_names(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if before.exists() and not path.exists():
            before.rename(path)
        shutil.rmtree(before, ignore_errors=True)


def check_free(path: Path, overwrite: bool = False) -> None:
    """Raise FileExistsError unless `atomic_folder` may write `path`."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise FileExistsError(f"{path}: is not a folder")
    if path.is_dir() and not overwrite and any(path.iterdir()):
        raise FileExistsError(f"{path}: exists and is not empty")


def sync_names(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems do not offer it for folders, and keep names by themselves.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def reason(error: BaseException) -> str:
    """What an error says, on one line of at most 200 characters; its type's name if nothing."""
    # It may quote a stranger: nothing that moves the cursor.
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    # The advice of these is to run the code in the file, or is a byte: KeyError(101).
    is_byte = isinstance(error, KeyError) and isinstance(next(iter(error.args), None), int)
    if "weights_only" in text or is_byte:
        return "not a file of tensors and plain containers, and no other is read"
    return text[:200] or type(error).__name__
