"""Images per second with texts padded to the context, to each batch's longest, and in buckets.

    python experiments/performance/text_length.py --threads 1 --clock cpu

The captions are synthetic. Their lengths in tokens, start and end of text included, are drawn from
5 + Gamma(1.39, 3.82), rounded and at most 40: mean 10.3, standard deviation 4.5, which is about the
spread of CC3M's. `data.text` and `data.length_bucket` give the length that each batch is
padded to. Forward and backward of the text tower are timed for each such length, and of the image
tower, in turns; a step is the sum of both. A mode's rate follows from the lengths of its batches.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import CLOCKS, alternating, machine, write
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.nn.functional import normalize

from cyclip_pl.data.buckets import sorted_batches

ROOT = Path(__file__).parents[2]
MULTIPLE = 8  # of `data.text=variable`
START, END = 49406, 49407
FIELDS = ["encoder", "batch", "text", "bucket", "mean_length", "text_tower", "step", "to_fixed"]


def caption_lengths(number: int, rng: np.random.Generator) -> np.ndarray:
    """Tokens of each caption."""
    return np.minimum(5 + rng.gamma(1.39, 3.82, number), 40).round().astype(int)


def padded(lengths: np.ndarray) -> int:
    return math.ceil(lengths.max() / MULTIPLE) * MULTIPLE


def batch_lengths(
    lengths: np.ndarray, batch: int, bucket: int | None, rng: np.random.Generator
) -> list[int]:
    """The length of each batch: without a bucket in the captions' order, else sorted in buckets."""
    found = []
    for held in lengths.reshape(-1, batch * (bucket or 1)):
        order = rng.permutation(bucket or 1).tolist()
        found += [padded(held[rows]) for rows in sorted_batches(held.tolist(), batch, order)]
    return found


class Towers:
    """Forward and backward of one tower."""

    def __init__(self, name: str, batch: int) -> None:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [f"encoder={name}", "run_dir=unused"]).encoder
        torch.manual_seed(0)
        self.encoder = instantiate(config)
        self.batch, self.side = batch, config.image_size
        self.context = self.encoder.tokenizer(["a"]).shape[1]

    def image(self) -> Callable[[], None]:
        images = torch.rand(self.batch, 3, self.side, self.side)
        return lambda: self._done(self.encoder.encode_image(images))

    def text(self, length: int) -> Callable[[], None]:
        tokens = torch.randint(1, START, (self.batch, length))
        tokens[:, 0], tokens[:, -1] = START, END
        return lambda: self._done(self.encoder.encode_text(tokens))

    def _done(self, features: torch.Tensor) -> None:
        normalize(features, dim=1).sum().backward()
        self.encoder.zero_grad(set_to_none=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--encoder", default="vit_b_32", help="of conf/encoder")
    parser.add_argument("--batches", type=numbers, default=[128, 1024])
    parser.add_argument("--buckets", type=numbers, default=[8, 32])
    parser.add_argument("--timed", type=int, default=16, help="samples of the steps that are timed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    towers = Towers(options.encoder, options.timed)

    modes: list[tuple[dict[str, Any], list[int]]] = []
    for batch in options.batches:
        rng = np.random.default_rng(0)
        lengths = caption_lengths(batch * 64 * math.lcm(*options.buckets), rng)
        print(f"captions: {lengths.mean():.2f} tokens, standard deviation {lengths.std():.2f}")
        about = {"encoder": options.encoder, "batch": batch}
        modes.append((about | {"text": "fixed"}, [towers.context]))
        for bucket in (None, *options.buckets):
            named = about | {"text": "variable", "bucket": bucket}
            modes.append((named, batch_lengths(lengths, batch, bucket, rng)))

    met = sorted({length for _, mode in modes for length in mode})
    timed = {"image": towers.image()} | {f"text {length}": towers.text(length) for length in met}
    alternating(timed, 1, options.clock)  # warm
    seconds = {
        name: statistics.median(times)
        for name, times in alternating(timed, options.rounds, options.clock).items()
    }
    print(f"{machine('torch', 'open_clip_torch')}; {options.threads} threads")
    for name, time in seconds.items():
        print(f"{name}: {1e3 * time / options.timed:.1f} ms per sample")
    rows: list[dict[str, Any]] = []
    fixed = 0.0
    for about, mode in modes:
        row = about | {"mean_length": round(statistics.mean(mode), 1)}
        text = statistics.mean(seconds[f"text {length}"] for length in mode)
        row["text_tower"] = round(options.timed / text, 2)
        row["step"] = round(options.timed / (text + seconds["image"]), 2)
        fixed = row["step"] if about["text"] == "fixed" else fixed
        rows.append(row | {"to_fixed": round(row["step"] / fixed, 2)})
        print(*rows[-1].values(), sep="\t")
    write(rows, FIELDS, options.output)


if __name__ == "__main__":
    main()
