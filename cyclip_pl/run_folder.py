"""A run has a folder of its own: a new name, a lock while it runs, what it left, what may go.

Imports are light: Hydra names the folder before torch is needed.
"""

from __future__ import annotations

import errno
import functools
import itertools
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from cyclip_pl import sweeps

logger = logging.getLogger(__name__)

LOCK = ".lock"
_named: set[Path] = set()  # folders that `new_folder` has made
# What a run and its loggers write, besides checkpoints: `clear` removes these.
WRITTEN = (
    "config.yaml",
    "metrics.json",
    "provenance.json",
    "details/*.json",
    "details/*/*.webp",
    "operators.txt",
    "trace.json.gz",
    "csv/metrics.csv",
    "tensorboard/events.out.tfevents.*",
    "tensorboard/hparams.yaml",
)


def register_names() -> None:
    """Make `${run_folder:PREFIX}`, `${new_folder:PREFIX}` and `${job_folder:…}` known."""
    # Kept in the config: jobs of a sweep that run elsewhere get the folder that was named first.
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("new_folder", new_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("job_folder", sweeps.job_folder, replace=True)


def run_folder(prefix: str) -> str:
    """`<prefix>slurm_<job>` within a Slurm job, so that a requeued job finds it; else a new one."""
    job = _slurm_job(os.environ)
    return f"{prefix}slurm_{job}" if job else new_folder(prefix)


@functools.cache  # a config may ask several times
def new_folder(prefix: str) -> str:
    """`<prefix><time>`, or with `_2`, `_3` … behind it: a folder that this call has made.

    Under torchrun all processes get the folder of rank 0.
    """
    agreed = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not agreed:
        return _made(prefix)
    from cyclip_pl.distributed import word_of_torchruns_first

    first = os.environ["RANK"] == "0"
    return word_of_torchruns_first(f"folder {prefix}", _made(prefix) if first else None)


def _made(prefix: str) -> str:
    name = f"{prefix}{datetime.now():%Y-%m-%d_%H-%M-%S}"
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    for path in itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2))):
        try:
            os.mkdir(path)  # fails if it exists: of two processes one gets it
            _named.add(Path(path).resolve())
            return path
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


def _slurm_job(environ: Mapping[str, str]) -> str | None:
    """The job's number, `<job>_<task>` for an array; None outside batch jobs."""
    if environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):  # a shell for many runs
        return None
    if "SLURM_ARRAY_TASK_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ.get("SLURM_JOB_ID")


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold `folder` while this process runs in it; a kill leaves no lock behind.

    Raises:
        ValueError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield
        return
    # lockf, not flock: workers that outlive a killed run would inherit flock's lock.
    with open(folder / LOCK, "a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise ValueError(
                    f"hydra.run.dir={shown(folder)}: {holder} runs in this folder;"
                    " wait until it ends, or name another folder"
                ) from None
            logger.warning(
                "hydra.run.dir=%s: the file system has no locks (%s), so take care that no second"
                " run starts there",
                shown(folder),
                error.strerror,
            )
        else:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield


def check_free(folder: Path, checkpoints: Sequence[str]) -> None:
    """Raise ValueError, one line, if a run or an evaluation has left its results in `folder`.

    Args:
        checkpoints: Names of those that a run has left where this run would write its own.
    """
    name = f"hydra.run.dir={shown(folder)}"
    if checkpoints:
        raise ValueError(
            f"{name}: holds a run ({', '.join(checkpoints)}); add resume=auto to go on,"
            " overwrite=true to start over, or name another folder"
        )
    if (folder / "metrics.json").exists():
        raise ValueError(
            f"{name}: holds results (metrics.json); add overwrite=true to remove them, or name"
            " another folder"
        )


def check_no_training(folder: Path, checkpoints: Sequence[str]) -> None:
    """Raise ValueError, one line, if `folder` is that of a training run with `checkpoints`."""
    if checkpoints:
        raise ValueError(
            f"hydra.run.dir={shown(folder)}: is the folder of a training run"
            f" ({', '.join(checkpoints)}), whose metrics.json an evaluation would replace; name"
            " another folder"
        )


def clear(folder: Path) -> None:
    """Remove what a run has written; files of others stay."""
    for path in [path for pattern in WRITTEN for path in folder.glob(pattern)]:
        path.unlink()


def leave_no_empty(folder: Path, with_log: bool = False) -> None:
    """Remove a folder that this process has named, if it holds a lock and an empty log alone.

    `with_log` removes a log that is not empty as well.
    """
    if folder.resolve() not in _named:
        return
    left = list(folder.iterdir())
    if all(
        path.name == LOCK or not path.stat().st_size or (with_log and path.suffix == ".log")
        for path in left
    ):
        for path in left:
            path.unlink()
        folder.rmdir()


def shown(folder: Path) -> str:
    """As a user would type it: relative, if it lies below the working directory."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
