"""The process of `busy.py` that trains: the default run, a turn at a time (`pace.py`)."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from hydra import compose, initialize_config_dir

from cyclip_pl.jobs import prepare


def main() -> None:
    if "--ours" in sys.argv:  # before PyTorch is loaded
        prepare()
    from pace import Pace

    from cyclip_pl.training import train

    Pace.answers = os.fdopen(os.dup(1), "w")
    overrides = ["evaluation=[]", "logger=[]", "callbacks.best.monitor=null", "callbacks.last=null"]
    overrides += ["+callbacks.pace._target_=pace.Pace", "trainer.max_steps=1000000"]
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(__file__).parents[2] / "conf"
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = compose("train", [*overrides, f"run_dir={folder}"])
        with redirect_stdout(StringIO()):
            train(config)


if __name__ == "__main__":
    main()
