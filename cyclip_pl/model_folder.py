"""The files of a model: in a folder, or in a repository of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclip_pl.files import reason

_HUB, _LOCAL = "hf-hub:", "local-dir:"
_MOST_JSON = 20_000_000  # bytes; the largest is a vocabulary


def has_prefix(source: str) -> bool:
    """Whether this is `hf-hub:ORG/NAME` or `local-dir:FOLDER`."""
    return source.startswith((_HUB, _LOCAL))


def is_model_folder(source: str) -> bool:
    """Whether this is `hf-hub:ORG/NAME`, `local-dir:FOLDER` or a folder."""
    return has_prefix(source) or Path(source).expanduser().is_dir()


class ModelFolder:
    """Files by name, from a stranger. Those of a repository are fetched into the cache when used.

    Args:
        setting: What errors begin with, before `=` and the source.
        source: `hf-hub:ORG/NAME`, with `@REVISION` if not its newest; `local-dir:FOLDER` or a
            folder.

    Raises:
        ValueError: There is no such folder.
    """

    def __init__(self, setting: str, source: str) -> None:
        self.named = f"{setting}={source}"
        self._repository: str | None = None
        if source.startswith(_HUB):
            self._repository, _, revision = source.removeprefix(_HUB).partition("@")
            self._revision = revision or None
            self._answers = _answers(self._repository, revision or "main")
            return
        self._folder = Path(source.removeprefix(_LOCAL)).expanduser()
        if not self._folder.is_dir():
            raise ValueError(f"{self.named}: there is no such folder")

    @property
    def local(self) -> Path | None:
        """The folder, absolute; None for a repository."""
        return None if self._repository is not None else self._folder.absolute()

    @property
    def open_clip_name(self) -> str:
        """What open_clip calls it."""
        if self._repository is None:
            return f"{_LOCAL}{self._folder}"
        return f"{_HUB}{self._repository}"

    def find(self, *names: str) -> Path | None:
        """The first of these files that is there.

        Raises:
            ValueError: The repository is not there, or cannot be reached.
        """
        if self._repository is None:
            files = (self._folder / name for name in names)
            return next((file for file in files if file.is_file()), None)
        unreachable = None
        for name in names:
            try:
                if (file := self._fetched(name)) is not None:
                    return file
            except ConnectionError as error:  # another one of them may be in the cache
                unreachable = unreachable or error
        if unreachable is not None:
            raise ValueError(f"{self.named}: {unreachable}") from unreachable
        return None

    def json(self, *names: str) -> dict[str, Any] | None:
        """What the first of these files says; None if none is there.

        Raises:
            ValueError: It is not a JSON object.
        """
        if (file := self.find(*names)) is None:
            return None
        try:
            if file.stat().st_size > _MOST_JSON:
                raise ValueError("too long")
            content = json.loads(file.read_bytes())
            if not isinstance(content, dict):
                raise ValueError("not an object")
        except (ValueError, OSError, RecursionError) as error:
            raise ValueError(f"{self.named}: {file.name}: not JSON: {reason(error)}") from error
        return content

    def _fetched(self, name: str) -> Path | None:
        # Slow to import, and only repositories need it.
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        assert self._repository is not None
        try:
            return Path(
                hf_hub_download(
                    self._repository,
                    name,
                    revision=self._revision,
                    local_files_only=not self._answers,
                )
            )
        except LocalEntryNotFoundError as error:
            why = "Hugging Face does not answer"
            if self._answers:
                why = reason(error.__cause__ or error)
            raise ConnectionError(f"{name} is not on this machine, and {why}") from error
        except EntryNotFoundError:
            return None
        except Exception as error:  # of the network, the name, the token, the disk
            raise ValueError(f"{self.named}: cannot be fetched: {reason(error)}") from error


def _answers(repository: str, revision: str) -> bool:
    """Whether Hugging Face answers, which a download would try for most of a minute per file."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from cyclip_pl.http_file import TIMEOUT

    try:
        HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
    except (HfHubHTTPError, ValueError):  # an answer as well; a download finds words for it
        return True
    except Exception:  # of its network library, which has changed
        return False
    return True
