"""`cyclip-train` and `cyclip-eval`: Hydra composes a config, and an error is one line.

Imports are light: `--help` and a mistyped override must not wait for torch.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import hydra
from hydra.utils import get_method
from omegaconf import DictConfig

from cyclip_pl import signals
from cyclip_pl.conf_dir import config_dir
from cyclip_pl.run_folder import register_names

TRACEBACK = "CYCLIP_TRACEBACK"


def train() -> None:
    """Run `python train.py [group=choice] [key=value] …`."""
    _main("train", "cyclip_pl.training.train")


def evaluate() -> None:
    """Run `python eval.py checkpoint=PATH [evaluation=[…]] …`."""
    _main("eval", "cyclip_pl.evaluating.evaluate")


def _main(config_name: str, task: str) -> None:
    register_names()
    # With this set Hydra raises the error instead of printing it.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    def stop(error: Exception) -> NoReturn:
        if os.environ.get(TRACEBACK) == "1":
            raise error
        from cyclip_pl.errors import one_line

        print(f"error: {one_line(error, config_name)}", file=sys.stderr)
        sys.exit(1)

    # Also caught here: Hydra adds lines of its own to an error that leaves a task.
    def guarded(config: DictConfig) -> None:
        try:
            get_method(task)(config)
        except Exception as error:
            stop(error)

    main = hydra.main(version_base="1.3", config_path=config_dir(), config_name=config_name)
    try:
        with signals.handled():
            main(guarded)()
    except Exception as error:
        stop(error)
