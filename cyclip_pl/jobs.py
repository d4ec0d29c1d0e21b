"""A command's task, as Hydra's launchers call it: here, in another process, on another machine.

Imports are light: it is made before torch is needed.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from cyclip_pl import signals, sweeps
from cyclip_pl.config_types import check_types, chosen_defaults
from cyclip_pl.cpu_quota import limit_threads
from cyclip_pl.run_folder import leave_no_empty, register_names
from cyclip_pl.time_slice import shorten_slices
from cyclip_pl.waiting import wait_briefly

TRACEBACK = "CYCLIP_TRACEBACK"
_WITHOUT_COMPILER = {"eval", "search"}  # commands that never compile a network


class JobFailed(Exception):
    """A job of a sweep failed, its error has been printed, and the others run: one line."""


@dataclass
class Job:
    """Runs a config, and tells an error as one line.

    A launcher that runs jobs elsewhere pickles it. There it takes the place of the command.

    Attributes:
        config_name: The command's main config.
        task: The dotted name of the function that takes the config and returns metrics.
        failed: Lines of the jobs that failed in this process.
        command: `sys.argv` of the command, where this is elsewhere.
        sweep: The folder of the sweep, where this is elsewhere.
    """

    config_name: str
    task: str
    failed: list[str] = field(default_factory=list)
    command: list[str] | None = None
    sweep: Path | None = None

    def __getstate__(self) -> dict[str, Any]:
        if self.command is not None:
            return vars(self)
        signals.jobs_run_elsewhere()
        return vars(replace(self, command=sys.argv, sweep=sweeps.sweep_folder))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        sys.argv[:] = state["command"]
        prepare()

    def __call__(self, config: DictConfig) -> object:
        return self._run(config) if self.command is None else self._run_elsewhere(config)

    def _run_elsewhere(self, config: DictConfig) -> object:
        """As `_run`, with this process's own handlers of signals; it may run several jobs."""
        try:
            signals.check()
            with signals.handled():
                return self._run(config)
        except signals.Stopped as stopped:
            # What was there before: submitit's handler, which puts the job back into the queue.
            handler = signal.getsignal(stopped.signum)
            if callable(handler) and handler is not signal.default_int_handler:
                handler(stopped.signum, None)
            raise JobFailed(str(stopped)) from None

    def _run(self, config: DictConfig) -> object:
        # Caught here: Hydra adds lines of its own to an error that leaves a task.
        try:
            check_types(config, chosen_defaults())
            if self.command is not None:
                _check_ranks(config)
            job = HydraConfig.get()
            if job.mode == RunMode.MULTIRUN:
                sweeps.link_number(Path(job.runtime.output_dir), job.job.num)
            _import_libraries(self.config_name)
            metrics = get_method(self.task)(config)
            return sweeps.chosen(metrics, config.get(sweeps.METRIC))
        except Exception as error:
            line = told(error, self.config_name)
        hydra_config = HydraConfig.get()
        if hydra_config.mode != RunMode.MULTIRUN:
            leave_no_empty(Path(hydra_config.runtime.output_dir))
            sys.exit(1)
        overrides: Any = OmegaConf.to_container(hydra_config.overrides.task)
        number = hydra_config.job.num
        line = f"job {number} ({shlex.join(overrides)}): {line}"
        self.failed.append(line)
        if self.sweep is not None:
            sweeps.note_failure(self.sweep, number, line)
        # Not within `except`: it would keep the job's model in memory.
        raise JobFailed(line)


def _check_ranks(config: DictConfig) -> None:
    """Raise ValueError if Lightning would start ranks: it would repeat the launcher's command."""
    devices = OmegaConf.select(config, "trainer.devices", default=1)
    if devices != 1 and "SLURM_PROCID" not in os.environ:
        raise ValueError(
            f"trainer.devices={devices}: a job that a launcher runs elsewhere is one process; set"
            " trainer.devices=1, or use hydra/launcher=submitit_slurm with tasks_per_node"
        )


def _import_libraries(config_name: str) -> None:
    from cyclip_pl.lean_imports import import_libraries

    import_libraries(compiler=config_name not in _WITHOUT_COMPILER)


def prepare() -> None:
    """What each process of a command needs before Hydra composes a config."""
    limit_threads()
    wait_briefly()
    shorten_slices()
    register_names()
    # With this set Hydra raises the error instead of printing it.
    os.environ["HYDRA_FULL_ERROR"] = "1"


def told(error: Exception, config_name: str) -> str:
    """Print an error as one line, and return the line."""
    if os.environ.get(TRACEBACK) == "1":
        raise error
    from cyclip_pl.errors import one_line

    line = one_line(error, config_name)
    print(f"error: {line}", file=sys.stderr)
    return line
