"""Commands that take a config: Hydra composes it, and an error is one line.

Imports are light: `--help` and a mistyped override must not wait for torch.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from cyclip_pl import __version__, signals, sweeps
from cyclip_pl.command_line import as_typed
from cyclip_pl.conf_dir import config_dir
from cyclip_pl.config_types import check_types, chosen_defaults
from cyclip_pl.run_folder import leave_no_empty, register_names

TRACEBACK = "CYCLIP_TRACEBACK"


class JobFailed(Exception):
    """A job of a sweep failed, and its error has been printed; the other jobs run."""


def train() -> None:
    """Run `python train.py [group=choice] [key=value] …`."""
    _main("train", "cyclip_pl.training.train")


def evaluate() -> None:
    """Run `python eval.py checkpoint=PATH [evaluation=[…]] …`."""
    _main("eval", "cyclip_pl.evaluating.evaluate")


def export() -> None:
    """Run `cyclip-export checkpoint=PATH out=DIR [format=…] …`."""
    _main("export", "cyclip_pl.exporting.export")


def search() -> None:
    """Run `cyclip-search checkpoint=PATH shards=PATH …`."""
    _main("search", "cyclip_pl.searching.search")


def _main(config_name: str, task: str) -> None:
    if "--version" in sys.argv[1:]:  # Hydra would tell its own
        print(f"cyclip-pl {__version__}")
        return
    register_names()
    # With this set Hydra raises the error instead of printing it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failed: list[str] = []  # jobs of a sweep, with the reasons

    # Also caught here: Hydra adds lines of its own to an error that leaves a task.
    def guarded(config: DictConfig) -> object:
        try:
            check_types(config, chosen_defaults())
            job = HydraConfig.get()
            if job.mode == RunMode.MULTIRUN:
                sweeps.link_number(Path(job.runtime.output_dir), job.job.num)
            metrics = get_method(task)(config)
            return sweeps.chosen(metrics, config.get(sweeps.METRIC))
        except Exception as error:
            line = _told(error, config_name)
        hydra_config = HydraConfig.get()
        if hydra_config.mode != RunMode.MULTIRUN:
            leave_no_empty(Path(hydra_config.runtime.output_dir))
            sys.exit(1)
        overrides: Any = OmegaConf.to_container(hydra_config.overrides.task)
        failed.append(f"job {hydra_config.job.num} ({shlex.join(overrides)}): {line}")
        # Not within `except`: it would keep the job's model in memory.
        raise JobFailed

    try:
        sys.argv[1:] = map(as_typed, sys.argv[1:])
        main = hydra.main(version_base="1.3", config_path=config_dir(), config_name=config_name)
        with signals.handled():
            main(guarded)()
    except JobFailed:
        pass
    except Exception as error:
        if not failed:
            _told(error, config_name)
            sys.exit(1)
    # Also where the sweeper went on: a search counts a failed job as a failed trial.
    for job in failed:
        print(f"error: {job}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _told(error: Exception, config_name: str) -> str:
    """Print an error as one line, and return the line."""
    if os.environ.get(TRACEBACK) == "1":
        raise error
    from cyclip_pl.errors import one_line

    line = one_line(error, config_name)
    print(f"error: {line}", file=sys.stderr)
    return line
