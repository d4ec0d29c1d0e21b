"""Sets in clip_benchmark's layout behind URLs, downloaded once.

A URL is the base of a set, on Hugging Face or elsewhere,

    https://huggingface.co/datasets/clip-benchmark/wds_cifar10
    hf://datasets/clip-benchmark/wds_cifar10
    https://host/wds_cifar10

or a list of the shards of one split, with the class names where the layout has them:

    https://host/wds_cifar10/test/{0..3}.tar
    /data/wds_cifar10/test/*.tar

No command is run for a set, whatever `data.allow_pipe` says. huggingface_hub downloads from Hugging
Face: it knows tokens, resumes and works offline. All else that fsspec opens is copied. Shards are
downloaded whole, because any image must be readable alone.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from cyclip_pl.evaluation.sets.image_shards import shard_count, shard_files
from cyclip_pl.evaluation.sets.interface import NoSplit
from cyclip_pl.files import locked, reason
from cyclip_pl.layout import CLASSNAMES, NSHARDS, SIDE_FILES
from cyclip_pl.remote_files import download as fetch
from cyclip_pl.remote_files import is_command, local_path, matching

logger = logging.getLogger(__name__)

DOWNLOADS = "~/.cache/cyclip_pl"
_HUB = re.compile(
    r"(?:https://huggingface\.co/|hf://)datasets/([^/]+/[^/@]+)"
    r"(?:(?:/(?:tree|blob|raw|resolve)/|@)([^/]+))?/*"
)
_SWITCHED_OFF = "and evaluation.library.download is false"


def is_remote(spec: str) -> bool:
    """Whether `spec` is a URL, or a list of shards rather than a folder."""
    return "://" in spec or spec.startswith(("file:", "pipe:")) or spec.endswith(".tar")


def name_of(spec: str) -> str:
    """The name of such a set: the last part of its base."""
    base = _base_and_shards(spec)[0]
    match = _HUB.fullmatch(base)
    return (match[1] if match else base).rsplit("/", 1)[-1]


def local_copy(spec: str, split: str, downloads: str | Path, download: bool = True) -> Path:
    """The set's folder on this machine, with this split; what is missing is downloaded.

    Except on Hugging Face, a later change behind the URL is not seen: remove the folder to
    download the set again. A local set is not copied.

    Args:
        spec: A base URL, or a list of shards of this split with `{0..9}` or `::` between them.
        downloads: The folder for all sets behind URLs.

    Raises:
        NoSplit: The set does not have this split.
        ValueError: One line that names the URL.
    """
    base, shards = _base_and_shards(spec)
    downloads = Path(downloads).expanduser()
    if shards is not None:
        if (found := shards[0].rsplit("/", 2)[-2]) != split:
            raise NoSplit(f"{spec} has no split {split!r}: it lists shards of {found!r}")
    elif (path := local_path(base)) is not None:
        return Path(path)
    elif match := _HUB.fullmatch(base):
        return _from_hub(spec, match[1], match[2], split, downloads, download)
    key = hashlib.sha256("\n".join([base, *(shards or ())]).encode()).hexdigest()[:12]
    folder = downloads / f"{re.sub(r'[^0-9A-Za-z_.-]', '_', name_of(spec))}-{key}"
    if _complete(folder / split):
        return folder
    if not download:
        kind = NoSplit if any(_complete(path) for path in folder.glob("*/")) else ValueError
        raise kind(f"{spec} is not in {folder}, {_SWITCHED_OFF}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            if not _complete(folder / split):  # another process may have downloaded it meanwhile
                logger.info("downloading %s/%s into %s", base, split, folder)
                _download(base, shards, folder, split)
    except OSError as error:
        raise ValueError(f"{spec} cannot be kept in {folder}: {reason(error)}") from error
    return folder


def _from_hub(
    spec: str, repo: str, revision: str | None, split: str, downloads: Path, download: bool
) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, and only these sets need it

    answers = not download or _hub_answers(repo, revision)
    try:
        folder = snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            cache_dir=downloads,
            local_files_only=not (download and answers),
            allow_patterns=[*SIDE_FILES, f"{split}/{NSHARDS}", f"{split}/*.tar"],
        )
    except Exception as error:  # of the network, the repository, the token, the disk
        if not download:
            raise ValueError(f"{spec} is not in {downloads}, {_SWITCHED_OFF}") from error
        why = reason(error.__cause__ or error) if answers else "Hugging Face does not answer"
        raise ValueError(f"{spec} cannot be downloaded to {downloads}: {why}") from error
    if not Path(folder, split, NSHARDS).is_file():
        raise _without_split(spec, split, Path(folder))
    return Path(folder)


def _hub_answers(repo: str, revision: str | None) -> bool:
    """False if the server is silent, and `snapshot_download` would wait for it for ever."""
    from huggingface_hub import HfApi

    from cyclip_pl.http_file import TIMEOUT

    try:
        HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT)
    except Exception as error:  # snapshot_download finds words for all others
        return "timeout" not in type(error).__name__.lower()
    return True


def _without_split(spec: str, split: str, folder: Path) -> ValueError:
    if any((folder / name).is_file() for name in SIDE_FILES):
        return NoSplit(f"{spec} has no split {split!r}")
    return ValueError(f"{spec} is not a set: it has neither {CLASSNAMES} nor {split}/{NSHARDS}")


def _base_and_shards(spec: str) -> tuple[str, list[str] | None]:
    """The set's base, and the shards if `spec` lists them."""
    from webdataset.shardlists import expand_urls

    if not spec.endswith(".tar"):
        _refuse_command(spec)
        return spec.rstrip("/"), None
    try:
        expanded = list(expand_urls(spec))
    except (AssertionError, ValueError) as error:
        raise ValueError(f"cannot expand {spec!r}: {error}") from error
    shards = [shard for url in expanded for shard in matching(url)]
    if not shards:
        raise ValueError(f"no file matches {spec!r}")
    for shard in shards:
        _refuse_command(shard)
    folders = {shard.rsplit("/", 1)[0] for shard in shards}
    if len(folders) > 1 or shards[0].count("/") < 2:
        raise ValueError(f"{spec!r}: the shards must lie in one folder, <set>/<split>/")
    return folders.pop().rsplit("/", 1)[0], shards


def _refuse_command(url: str) -> None:
    if is_command(url):
        raise ValueError(f"{url!r}: evaluation sets run no commands; name a folder or a URL")


def _complete(split: Path) -> bool:
    try:
        return bool(shard_files(split))
    except ValueError:
        return False


def _download(base: str, shards: list[str] | None, folder: Path, split: str) -> None:
    for name in SIDE_FILES:
        _fetch(f"{base}/{name}", folder / name)
    counted = folder / split / f".{NSHARDS}"
    if shards is None:
        if not _fetch(f"{base}/{split}/{NSHARDS}", counted):
            raise _without_split(base, split, folder)
        shards = [f"{base}/{split}/{number}.tar" for number in range(shard_count(counted))]
    for number, shard in enumerate(shards):
        path = folder / split / f"{number}.tar"
        if not path.is_file() and not _fetch(shard, path):
            raise ValueError(f"{shard} cannot be downloaded: not found")
    counted.write_text(f"{len(shards)}\n")
    counted.replace(folder / split / NSHARDS)  # last: it says that the split is complete


def _fetch(url: str, path: Path) -> bool:
    """The file behind `url`, whole, or a link to it if it is local; False if there is none."""
    try:
        if path.suffix == ".tar" and (local := local_path(url)) is not None:
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(Path(local).resolve(strict=True))
        else:
            fetch(url, path)
    except FileNotFoundError:
        return False
    except Exception as error:  # of the network, of an unknown kind of URL, of the disk
        to = f" to {path}" if getattr(error, "errno", None) else ""  # not the network's
        raise ValueError(f"{url} cannot be downloaded{to}: {reason(error)}") from error
    return True
