"""Time and extra memory of our losses and their peers: forward and backward.

    python experiments/performance/losses.py --sizes 1024,4096,16384

prints a table and writes it to `--output`, with a plot beside it. The rows of other CPUs, sizes and
numbers of threads stay in the file; the plot is of this run. Embeddings are random unit vectors,
float32; small batches are timed in loops. Ours and the peers take turns, `--rounds` times; a time
is the median of its rounds, a ratio the median of the ratios per round. `--clock cpu --threads 1`
times the work and not the wall: use it if others use the machine. Extra memory is the amount by
which one call raised the peak of a fresh process. Forms that do not fit into the available memory
are named and left out.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import peers
import torch
from common import (
    CLOCKS,
    alone,
    alternating,
    available_bytes,
    cpu,
    machine,
    peak_bytes,
    write,
)
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.losses.consistency import consistency_penalty, consistency_terms
from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.mp_nce import mp_nce_loss
from cyclip_pl.losses.sigmoid import sigmoid_loss

FOLDER = Path(__file__).parent
FIELDS = [
    "cpu",
    "loss",
    "form",
    "samples",
    "width",
    "clock",
    "threads",
    "milliseconds",
    "to_ours",
    "megabytes",
]
# What a row is of; a new row replaces the old one of the same.
KEY = ("cpu", "loss", "form", "samples", "width", "clock", "threads")
IMAGE_VIEWS = 3
LARGE = 1024  # from here on extra memory stands out from what the allocator keeps
LOOP = 0.02  # seconds, at least, that one measurement takes


def cyclip(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    return contrastive_loss(image, text, scale) + consistency_penalty(image, text, 0.25, 0.25)[0]


def _mp_nce(form: str | None) -> Callable[..., Tensor]:
    return lambda i, t, s: mp_nce_loss(i, t, s.expand(3), s.new_zeros(3), form=form)


# loss → form → the function, and roughly how many N×N float32 matrices it needs at its peak.
LOSSES: dict[str, dict[str, tuple[Callable[..., Any], float]]] = {
    "contrastive": {
        "ours": (contrastive_loss, 0),
        "open_clip": (peers.clip, 4.2),
        "ours, dense": (lambda i, t, s: contrastive_loss(i, t, s, "dense"), 4.2),
        "ours, tiled": (lambda i, t, s: contrastive_loss(i, t, s, "tiled"), 0),
    },
    "sigmoid": {
        "ours": (lambda i, t, s: sigmoid_loss(i, t, s, -10.0), 0),
        "open_clip": (lambda i, t, s: peers.siglip(i, t, s, -10.0), 6),
    },
    "consistency": {
        "ours": (lambda i, t, s: sum(consistency_terms(i, t)), 0),
        "authors": (lambda i, t, s: sum(peers.consistency(i, t)), 8),
        "ours, direct": (lambda i, t, s: sum(consistency_terms(i, t, "direct")), 3),
    },
    "cyclip": {
        "ours": (cyclip, 0),
        "authors": (peers.cyclip, 12),
        "CLIP of open_clip": (peers.clip, 4.2),
        "CLIP of ours": (contrastive_loss, 0),
    },
    "mp_nce": {
        "ours": (_mp_nce(None), 0),
        "plain": (
            lambda i, t, s: peers.mp_nce(i, t, s.expand(3), s.new_zeros(3)),
            8 * (IMAGE_VIEWS + 1) ** 2,
        ),
        "ours, dense": (_mp_nce("dense"), 5 * IMAGE_VIEWS**2),
    },
}


def inputs(loss: str, samples: int, width: int, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    views = (IMAGE_VIEWS, 1) if loss == "mp_nce" else (1, 1)
    rows = [normalize(torch.randn(v, samples, width), dim=-1) for v in views]
    if loss != "mp_nce":
        rows = [x[0] for x in rows]
    return [x.requires_grad_() for x in (*rows, torch.tensor(14.3))]


def step(loss: str, form: str, leaves: list[Tensor]) -> None:
    for leaf in leaves:
        leaf.grad = None
    LOSSES[loss][form][0](*leaves).backward()


def extra_bytes(loss: str, form: str, samples: int, width: int, threads: int) -> int:
    """How much one forward and backward raises the peak, once libraries are loaded."""
    torch.set_num_threads(threads)
    step(loss, form, inputs(loss, 64, width))
    leaves = inputs(loss, samples, width)
    before = peak_bytes()
    step(loss, form, leaves)
    return peak_bytes() - before


def times(
    loss: str, forms: list[str], samples: int, width: int, threads: int, rounds: int, clock: str
) -> dict[str, list[float]]:
    torch.set_num_threads(threads)
    for form in forms:
        step(loss, form, inputs(loss, 64, width))
    leaves = inputs(loss, samples, width)
    start = time.perf_counter()
    step(loss, "ours", leaves)
    loop = math.ceil(LOOP / (time.perf_counter() - start))

    def repeat(form: str) -> None:
        for _ in range(loop):
            step(loss, form, leaves)

    calls = {form: lambda form=form: repeat(form) for form in forms}
    series = alternating(calls, rounds, clock)
    return {form: [x / loop for x in of_form] for form, of_form in series.items()}


def compare(loss: str, samples: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each form that fits."""
    forms, rows = [], []
    for form, (_, matrices) in LOSSES[loss].items():
        if matrices * 4 * samples**2 > 0.9 * available_bytes():
            print(f"{loss}, {form}, N = {samples}: does not fit into the available memory")
        else:
            forms.append(form)
    try:
        settings = (options.width, options.threads, options.rounds, options.clock)
        series = alone(times, loss, forms, samples, *settings)
        for form in forms:
            ratios = [x / y for x, y in zip(series[form], series["ours"], strict=True)]
            extra = None
            if samples >= LARGE:
                size = samples, options.width, options.threads
                extra = round(alone(extra_bytes, loss, form, *size) / 1e6, 1)
            rows.append(
                {
                    "cpu": cpu(),
                    "loss": loss,
                    "form": form,
                    "samples": samples,
                    "width": options.width,
                    "clock": options.clock,
                    "threads": options.threads,
                    "milliseconds": round(1e3 * statistics.median(series[form]), 2),
                    "to_ours": round(statistics.median(ratios), 2),
                    "megabytes": extra,
                }
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    except BrokenProcessPool:
        print(f"{loss}, N = {samples}: killed, out of memory")
    return rows


def merged(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The rows of the file, without those that `rows` replace, and `rows`."""
    key = lambda row: tuple(str(row[x]) for x in KEY)  # noqa: E731
    replaced = {key(row) for row in rows}
    with path.open(newline="") if path.exists() else nullcontext(()) as lines:
        kept = [row for row in csv.DictReader(lines) if key(row) not in replaced]
    return kept + rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    losses = [loss for loss in LOSSES if any(row["loss"] == loss for row in rows)]
    figure, axes = pyplot.subplots(
        2, len(losses), figsize=(3.4 * len(losses), 6), sharex=True, squeeze=False
    )
    for column, loss in enumerate(losses):
        for line, (field, unit) in enumerate((("milliseconds", "ms"), ("megabytes", "extra MB"))):
            axis = axes[line][column]
            for form in LOSSES[loss]:
                points = [
                    (row["samples"], row[field])
                    for row in rows
                    if row["loss"] == loss and row["form"] == form and row[field] is not None
                ]
                if points:
                    axis.plot(*zip(*sorted(points), strict=True), marker="o", label=form)
            axis.set(xscale="log", yscale="log", ylabel=unit, title=loss if line == 0 else "")
            axis.grid(alpha=0.3)
        axes[0][column].legend(fontsize=7)
        axes[1][column].set_xlabel("samples N")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = lambda text: [int(x) for x in text.split(",") if x]  # noqa: E731
    parser.add_argument("--sizes", type=numbers, default=[64, 128, 256, 512, 1024, 4096, 16384])
    parser.add_argument("--losses", type=lambda text: text.split(","), default=list(LOSSES))
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--output", type=Path, default=FOLDER / "losses.csv")
    options = parser.parse_args()
    print(machine("torch", "open_clip_torch"), f"{options.threads} threads", sep="; ")
    print(*FIELDS, sep="\t")
    rows: list[dict[str, Any]] = []
    for loss in options.losses:
        for n in options.sizes:
            rows += compare(loss, n, options)
            write(merged(rows, options.output), FIELDS, options.output)
    plot(rows, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
