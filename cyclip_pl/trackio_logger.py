"""Trackio, in which a resumed run goes on, and whose run ends with the training."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from PIL.Image import Image

from cyclip_pl.checkpoints.resume import leaves


class TrackioLogger(Logger):
    """Metrics, settings and images of one run, on this machine unless Trackio is told otherwise.

    Args:
        save_dir: The folder with the databases, one per project.
        project: Whose runs the dashboard shows together.
        name: Of this run (`run_id`).
        more: As of `trackio.init`, such as `server_url` or `space_id`.

    Raises:
        ValueError: Trackio is not installed.
    """

    def __init__(
        self, save_dir: str | Path, name: str, project: str = "cyclip-pl", **more: Any
    ) -> None:
        super().__init__()
        if find_spec("trackio") is None:
            raise ValueError("logger=trackio: needs trackio: pip install 'cyclip-pl[trackio]'")
        self._save_dir = Path(save_dir).resolve()
        self._about = {"project": project, "name": name, **more}
        self._trackio: Any = None
        self._run: Any = None

    @property
    def name(self) -> str:
        return self._about["project"]

    @property
    def version(self) -> str:
        return self._about["name"]

    @property
    def save_dir(self) -> str:
        return str(self._save_dir)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The open `trackio.Run`."""
        if self._run is None:
            self._trackio = _with_folder(self._save_dir)
            self._run = self._trackio.init(resume="allow", **self._about)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any, *unused: Any, **more: Any) -> None:
        # Trackio stores the config of a run with the first row of metrics after it.
        self.experiment.config.update(leaves(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_image(self, key: str, images: list[Image], step: int | None = None) -> None:
        run = self.experiment
        for image in images:
            run.log({key: self._trackio.Image(image)}, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._run is not None:
            self._trackio.finish()
            self._run = None


def _with_folder(folder: Path) -> Any:
    """The package, imported for this folder: it reads the variable once, maybe for a job before."""
    if os.environ.get("TRACKIO_DIR") != str(folder):
        os.environ["TRACKIO_DIR"] = str(folder)
        for module in [one for one in sys.modules if one.partition(".")[0] == "trackio"]:
            del sys.modules[module]
    return import_module("trackio")
