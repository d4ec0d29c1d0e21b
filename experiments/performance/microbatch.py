"""What a batch in micro-batches costs, against the same samples in small batches.

    python experiments/performance/microbatch.py

trains the CPU pair with batches of 32, and with batches of 1,024 in micro-batches of 32, on random
pixels and tokens, without a loader. A step is forward, loss, backward and AdamW. Times are medians
over rounds in which the two alternate. Memory is measured in a fresh process: on a GPU the most
that PyTorch allocated, weights and batch included; on the CPU the amount by which the step raised
the process's peak. On one 80 GB GPU, RN50 at 224 px with a batch of 32,768:

    python experiments/performance/microbatch.py --device cuda --encoder rn50 \
      --microbatch 1024 --pieces 32 --precision bf16
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from common import alone, peak_bytes, write
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from cyclip_pl.module import ContrastiveModule
from cyclip_pl.types import Batch

ROOT = Path(__file__).parents[2]
FIELDS = [
    "device",
    "torch",
    "threads",
    "encoder",
    "objective",
    "precision",
    "batch",
    "microbatch",
    "ms_per_image",
    "ratio",
    "peak_megabytes",
]


@dataclass(frozen=True)
class Setting:
    """One batch size with or without micro-batches."""

    encoder: str
    objective: str
    device: str
    precision: str
    batch: int
    microbatch: int | None


class Step:
    """A whole training step on one random batch that stays on the device."""

    def __init__(self, setting: Setting) -> None:
        groups = [f"{group}={getattr(setting, group)}" for group in ("encoder", "objective")]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [*groups, "views=plain", "run_dir=unused"])
        torch.manual_seed(0)
        encoder = instantiate(config.encoder)
        self.module = ContrastiveModule(
            encoder,
            instantiate(config.projector)(features=encoder.embed_dim),
            instantiate(config.objective),
            instantiate(config.optimizer),
            instantiate(config.scheduler),
            microbatch=setting.microbatch,
        ).to(setting.device)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=1e-4)
        self.setting = setting
        self.batch = _random_batch(setting, encoder)

    def __call__(self) -> None:
        dtype = torch.bfloat16
        with torch.autocast(self.setting.device, dtype, enabled=self.setting.precision == "bf16"):
            loss: Tensor = self.module.objective(self.module.embed(self.batch))["total"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def seconds(self, times: int) -> float:
        """Wall time of `times` steps, the device's work included."""
        begin = self._now()
        for _ in range(times):
            self()
        return self._now() - begin

    def _now(self) -> float:
        if self.setting.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _random_batch(setting: Setting, encoder) -> Batch:
    side, length = encoder.image_size, encoder.tokenizer.context_length
    # In small parts, because integers are drawn as int64.
    images = torch.empty(1, setting.batch, 3, side, side, dtype=torch.uint8, device=setting.device)
    for part in images[0].split(256):
        part.random_(0, 256)
    texts = torch.randint(1, 49406, (1, setting.batch, length), device=setting.device)
    texts[..., -1] = 49407  # end of text
    return Batch(images, texts)


def peak_megabytes(setting: Setting) -> float:
    """The peak of two steps; call it in a fresh process."""
    step = Step(setting)
    if setting.device == "cuda":
        step.seconds(2)
        return torch.cuda.max_memory_allocated() / 1e6
    before = peak_bytes()
    step.seconds(2)
    return (peak_bytes() - before) / 1e6


def milliseconds_per_image(small: Setting, large: Setting, rounds: int) -> tuple[float, float]:
    """Medians over alternating rounds with the same number of images."""
    of_small, of_large = Step(small), Step(large)
    many = large.batch // small.batch
    of_small.seconds(2)
    of_large.seconds(1)
    times = [(of_small.seconds(many), of_large.seconds(1)) for _ in range(rounds)]
    first, second = (statistics.median(column) for column in zip(*times, strict=True))
    return first * 1e3 / large.batch, second * 1e3 / large.batch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoder", default="tiny", help="of conf/encoder")
    parser.add_argument(
        "--objective", default="cyclip", help="of conf/objective, one that takes single views"
    )
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--microbatch", type=int, default=32)
    parser.add_argument("--pieces", type=int, default=32, help="micro-batches in the large batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()

    shared = options.encoder, options.objective, options.device, options.precision
    large_batch = options.microbatch * options.pieces
    settings = {
        "small": Setting(*shared, options.microbatch, None),
        "large": Setting(*shared, large_batch, options.microbatch),
        "whole": Setting(*shared, large_batch, None),
    }
    # First, before this process takes memory of the device.
    memory: dict[str, float | str] = dict.fromkeys(settings, "too large")
    for name, setting in settings.items():
        with suppress(torch.cuda.OutOfMemoryError, BrokenProcessPool):
            memory[name] = round(alone(peak_megabytes, setting), 1)
    small, large = milliseconds_per_image(settings["small"], settings["large"], options.rounds)

    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    rows = []
    for name, milliseconds in (("small", small), ("large", large), ("whole", None)):
        setting = settings[name]
        rows.append(
            {
                "device": device,
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "encoder": setting.encoder,
                "objective": setting.objective,
                "precision": setting.precision,
                "batch": setting.batch,
                "microbatch": setting.microbatch or "",
                "ms_per_image": "" if milliseconds is None else round(milliseconds, 4),
                "ratio": "" if milliseconds is None else round(milliseconds / small, 3),
                "peak_megabytes": memory[name],
            }
        )
    write(rows, FIELDS, options.output)
    for row in rows:
        print("  ".join(f"{name} {row[name]}" for name in FIELDS[6:] if row[name] != ""))
    print(f"{device}: {options.output}")


if __name__ == "__main__":
    main()
