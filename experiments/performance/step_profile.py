"""The operators of a training step without reading, and what makes the host wait for the device.

    python experiments/performance/step_profile.py [--device cuda --encoder rn50 --batch 256]

profiles some steps between two logged ones with `callbacks=[default,profile]`. The configuration is
the composed one; batches are random and in memory (`synthetic.py`). `make profile` profiles a whole
run instead, with its data.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import machine
from step import LIGHTNING, Setting, ours


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoder", default="tiny", help="of conf/encoder")
    parser.add_argument("--objective", default="cyclip", help="of conf/objective")
    parser.add_argument("--precision", choices=list(LIGHTNING), default="auto")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    print(machine("torch", "lightning"))
    setting = Setting(options.encoder, options.precision, options.batch, options.device, 16)
    with tempfile.TemporaryDirectory() as folder:
        ours(
            setting,
            options.objective,
            "callbacks=[default,profile]",
            f"callbacks.profile.dirpath={folder}",
            "callbacks.profile.steps=8",
            "trainer.log_every_n_steps=100",
        )
        print(Path(folder, "operators.txt").read_text("utf-8"))


if __name__ == "__main__":
    main()
