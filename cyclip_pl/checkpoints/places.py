"""Folders of checkpoints: on a local disk, or behind a URL that fsspec knows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO

from fsspec.core import url_to_fs

from cyclip_pl.files import atomic, reason, sync_names


class LocalFolder:
    """Files and folders appear whole under their names, and reach the disk before that."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def at(self, name: str) -> Path:
        return self.path / name

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()] if self.path.is_dir() else []

    def free(self) -> int | None:
        """Bytes left on the disk."""
        self.path.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.path).free

    def write(self, name: str, dump: Callable[[IO[bytes]], None]) -> None:
        self._clean()
        with atomic(self.path / name) as partial:
            with partial.open("wb") as file:
                dump(file)
            if (self.path / name).is_dir():  # which a file cannot replace
                self.remove(name)

    def hidden(self, name: str) -> Path:
        """Where a folder is written that is to be called `name`."""
        return self.path / f".{name}.shards.partial"

    def begin(self, name: str) -> None:
        """Make that folder, empty."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._clean()
        self.hidden(name).mkdir()

    def finish(self, name: str, keep: str | None) -> None:
        """Give that folder its name, and the name `keep` to what stands there.

        What has neither name is removed.
        """
        sync_names(self.hidden(name))
        if keep is not None and name in self.names():
            self.keep(name, keep)
        self.remove(name)
        self.hidden(name).rename(self.path / name)
        sync_names(self.path)

    def keep(self, name: str, copy: str) -> None:
        """Give a file a second name, without a copy; where links are missing, its only name.

        A folder has one name, and gets another.
        """
        if (self.path / name).is_dir():
            self.remove(copy)
            os.rename(self.path / name, self.path / copy)
            return
        try:
            os.link(self.path / name, self.path / copy)
        except FileExistsError:
            pass
        except OSError:
            os.rename(self.path / name, self.path / copy)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder and all in it: at no moment does it have half of that."""
        path = self.path / name
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        going = self.path / f".{name}.removed.partial"
        shutil.rmtree(going, ignore_errors=True)
        path.rename(going)
        shutil.rmtree(going)

    def _clean(self) -> None:
        """Remove what a kill has left."""
        for left in self.path.glob(".*.ckpt.*.partial"):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


class RemoteFolder:
    """An object store or a server: a file is sent whole under a hidden name, then renamed.

    Raises:
        ValueError: No installed package opens such a URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.files, self.root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{url}: cannot be opened: {reason(error)}") from error

    def at(self, name: str) -> str:
        inner, chain = _cut(self.url)
        return f"{inner.rstrip('/')}/{name}{chain}"

    def names(self) -> list[str]:
        self.files.invalidate_cache()
        with suppress(FileNotFoundError, NotADirectoryError):
            found = self.files.ls(self.root, detail=False)
            return [str(path).rstrip("/").rpartition("/")[2] for path in found]
        return []

    def free(self) -> int | None:
        return None

    def write(self, name: str, dump: Callable[[IO[bytes]], None]) -> None:
        partial = f"{self.root}/.{name}.partial"
        try:
            self.files.makedirs(self.root, exist_ok=True)
            with self.files.open(partial, "wb") as file:
                dump(file)
            self.files.mv(partial, f"{self.root}/{name}")
        except Exception as error:  # of whatever library speaks to the server
            with suppress(Exception):
                self.files.rm(partial)
            raise OSError(reason(error)) from error

    def keep(self, name: str, copy: str) -> None:
        try:
            if not self.files.exists(f"{self.root}/{copy}"):
                self.files.cp_file(f"{self.root}/{name}", f"{self.root}/{copy}")
        except Exception as error:
            raise OSError(reason(error)) from error

    def remove(self, name: str) -> None:
        try:
            self.files.rm(f"{self.root}/{name}")
        except Exception as error:
            raise OSError(reason(error)) from error


Folder = LocalFolder | RemoteFolder


def located(path: str | Path) -> Path | str:
    """A path with `~` expanded, or the URL; `file:` URLs are paths."""
    text = str(path)
    if text.startswith("file:") and "::" not in text:
        text = url_to_fs(text)[1]
    return text if "://" in text else Path(text).expanduser()


def _cut(url: str) -> tuple[str, str]:
    """Where a path goes on in a URL: `dir://a::s3://b` at a, `simplecache::s3://b` at its end."""
    inner, chain, outer = url.partition("::")
    return (inner, chain + outer) if "://" in inner else (url, "")


def folder(path: str | Path) -> Folder:
    """The folder at a path or URL; it need not exist."""
    place = located(path)
    return LocalFolder(place) if isinstance(place, Path) else RemoteFolder(place)


def split(path: str | Path) -> tuple[Folder, str]:
    """The folder of a file, and the file's name there."""
    place = located(path)
    if isinstance(place, Path):
        return LocalFolder(place.parent), place.name
    inner, chain = _cut(place)
    parent, _, name = inner.rpartition("/")
    return RemoteFolder(parent + chain), name


def fetched(path: str | Path) -> Path | BytesIO:
    """What `torch.load` can read: a local file itself, or the bytes behind a URL.

    Raises:
        OSError: The URL cannot be read.
    """
    place = located(path)
    if isinstance(place, Path):
        return place
    try:
        files, inner = url_to_fs(place)
        return BytesIO(files.cat_file(inner))
    except Exception as error:
        raise OSError(reason(error)) from error


def is_file(path: str | Path) -> bool:
    """Whether there is a file at a path or URL.

    Raises:
        ValueError: No installed package opens such a URL.
    """
    place = located(path)
    if isinstance(place, Path):
        return place.is_file()
    try:
        files, inner = url_to_fs(place)
        return bool(files.isfile(inner))
    except (ImportError, ValueError) as error:
        raise ValueError(f"{place}: cannot be opened: {reason(error)}") from error
