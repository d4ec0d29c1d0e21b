"""Images per second of a whole training step, against open_clip's own training loop.

    python experiments/performance/step.py

Ours is `cyclip_pl.training.train` of the composed configuration, with its callbacks and loggers.
The peer is `open_clip_train.train.train_one_epoch` with the same architecture, batch, precision,
optimiser settings and clipping. Neither reads files: batches are random. Ours are uint8 and are
normalised in the step; the peer's are float and already normalised. Both take turns. Rates and
ratios are medians over the rounds; the first steps of each round do not count. On a GPU:

    python experiments/performance/step.py --device cuda --encoders rn50,vit_b_32 --batch 256 \
      --precisions bf16 --objectives clip,cyclip --compile
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from common import machine, write
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from open_clip_train.scheduler import cosine_lr
from open_clip_train.train import train_one_epoch
from peers import ADAMW, adamw
from synthetic import Synthetic, random_batches
from torch import Tensor

from cyclip_pl.training import train

ROOT = Path(__file__).parents[2]
WARM = 5  # first steps of a round; they do not count
LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed", "auto": "auto"}
OPEN_CLIP = {"fp32": "fp32", "bf16": "amp_bf16"}
FIELDS = [
    "device",
    "encoder",
    "precision",
    "batch",
    "threads",
    "step",
    "images_per_second",
    "to_open_clip",
]


@dataclass(frozen=True)
class Setting:
    encoder: str
    precision: str
    batch: int
    device: str
    steps: int

    @property
    def accelerator(self) -> str:
        return "gpu" if self.device == "cuda" else "cpu"


def ours(setting: Setting, objective: str, *further: str) -> float:
    """Images per second."""
    synthetic = {
        "_target_": "synthetic.Synthetic",
        "batches": WARM + setting.steps,
        "batch_size": setting.batch,
        "image_size": encoder_config(setting.encoder).image_size,
        "context_length": context_length(setting.encoder),
        "pin_memory": setting.device == "cuda",
    }
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"encoder={setting.encoder}",
            f"objective={objective}",
            "views=plain",
            "evaluation=[]",
            "callbacks.best.monitor=null",
            f"trainer.accelerator={setting.accelerator}",
            f"trainer.precision={LIGHTNING[setting.precision]}",
            f"trainer.max_steps={WARM + setting.steps}",
            "scheduler.warmup_steps=10",
            *further,
        ]
        run(overrides, synthetic, folder)
    return rate(Synthetic.requested, setting)


def run(overrides: list[str], synthetic: dict[str, Any], folder: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"run_dir={folder}"])
    OmegaConf.set_struct(config, False)
    config.data = synthetic
    with redirect_stdout(StringIO()):
        train(config)


def rate(requested: list[float], setting: Setting) -> float:
    """Images per second, from the times at which batches were requested; without the last step."""
    return setting.batch * (len(requested) - 1 - WARM) / (requested[-1] - requested[WARM])


def encoder_config(name: str) -> Any:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", [f"encoder={name}", "run_dir=unused"]).encoder


def context_length(name: str) -> int:
    architecture = encoder_config(name).architecture
    if isinstance(architecture, str):
        return open_clip.get_model_config(architecture)["text_cfg"]["context_length"]
    return architecture.text_cfg.context_length


@dataclass
class PeerBatches:
    """Batches in the form that open_clip's loop expects of its loader."""

    made: list[tuple[Tensor, Tensor]]
    num_batches: int
    num_samples: int
    requested: list[float] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.requested.clear()
        for n in range(self.num_batches):
            self.requested.append(time.perf_counter())
            yield self.made[n % len(self.made)]

    def set_epoch(self, epoch: int) -> None:
        pass

    @property
    def dataloader(self) -> PeerBatches:
        return self


class Peer:
    """open_clip's model, optimiser and loop, set up as `open_clip_train.main` does."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        config = encoder_config(setting.encoder)
        encoder = instantiate(config)  # registers the architecture's name with open_clip
        torch.manual_seed(0)
        name = config.architecture if isinstance(config.architecture, str) else registered()
        self.model = open_clip.create_model(
            name,
            force_image_size=config.image_size,
            pretrained_image=False,
            output_dict=True,
            device=setting.device,
        )
        self.optimizer = adamw(self.model)
        self.batches = PeerBatches(
            [
                (((b.images[0] - encoder.mean) / encoder.std).contiguous(), b.texts[0])
                for b in random_batches(
                    setting.batch, config.image_size, context_length(setting.encoder)
                )
            ],
            WARM + setting.steps,
            (WARM + setting.steps) * setting.batch,
        )
        if setting.device == "cuda":
            self.batches.made = [(i.pin_memory(), t.pin_memory()) for i, t in self.batches.made]
        self.loss = open_clip.ClipLoss(cache_labels=True)

    def __call__(self) -> float:
        """Images per second."""
        arguments = SimpleNamespace(
            device=self.setting.device,
            precision=OPEN_CLIP[self.setting.precision],
            distill=False,
            accum_freq=1,
            skip_scheduler=False,
            grad_clip_norm=1.0,
            horovod=False,
            rank=0,
            local_rank=0,
            log_local=False,
            log_every_n_steps=100,
            world_size=1,
            batch_size=self.setting.batch,
            wandb=False,
        )
        schedule = cosine_lr(self.optimizer, ADAMW["lr"], 10, self.batches.num_batches)
        train_one_epoch(
            self.model,
            {"train": self.batches},
            self.loss,
            0,
            self.optimizer,
            None,
            schedule,
            None,
            arguments,
        )
        assert math.isfinite(self.model.logit_scale.item())
        return rate(self.batches.requested, self.setting)


def registered() -> str:
    return next(name for name in open_clip.list_models() if name.startswith("inline-"))


def compare(setting: Setting, objectives: list[str], rounds: int, compiled: bool) -> list[Any]:
    peer = Peer(setting)
    steps = {"open_clip": peer}
    for objective in objectives:
        steps[objective] = lambda o=objective: ours(setting, o)
        if compiled:
            steps[f"{objective}, compiled"] = lambda o=objective: ours(setting, o, "compile=true")
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(step())
    rows = []
    device = torch.cuda.get_device_name() if setting.device == "cuda" else "cpu"
    for name, rates in found.items():
        ratios = [x / y for x, y in zip(rates, found["open_clip"], strict=True)]
        values = (
            device,
            setting.encoder,
            setting.precision,
            setting.batch,
            torch.get_num_threads(),
            name,
            round(statistics.median(rates), 1),
            round(statistics.median(ratios), 3),
        )
        rows.append(dict(zip(FIELDS, values, strict=True)))
        print(*values, sep="\t", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoders", type=names, default=["tiny"], help="of conf/encoder")
    parser.add_argument("--objectives", type=names, default=["clip", "cyclip"])
    parser.add_argument("--precisions", type=names, default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    print(machine("torch", "lightning", "open_clip_torch"))
    print(*FIELDS, sep="\t")
    rows = [
        row
        for encoder in options.encoders
        for precision in options.precisions
        for row in compare(
            Setting(encoder, precision, options.batch, options.device, options.steps),
            options.objectives,
            options.rounds,
            options.compile,
        )
    ]
    write(rows, FIELDS, options.output)


if __name__ == "__main__":
    main()
