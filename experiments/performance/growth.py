"""How time and memory of our losses grow with the batch and with the ranks, over gloo.

    python experiments/performance/growth.py --sizes 1024,4096,16384 --ranks 1,2,4

measures forward and backward. N is the batch of all ranks; a rank is a process with one thread.
`--output` gets the slowest rank's time and the largest rank's extra memory, which is the amount by
which a call raised its peak; a plot is written beside it. If there are more ranks than cores, ranks
share cores.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from common import machine, peak_bytes, seconds, write
from losses import LOSSES, inputs, step

FIELDS = ["loss", "samples", "width", "ranks", "milliseconds", "megabytes"]


def _rank(rank: int, world: int, folder: str, loss: str, samples: int, width: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
        timeout=timedelta(minutes=30),
    )
    step(loss, "ours", inputs(loss, 64, width))
    leaves = inputs(loss, samples // world, width, seed=rank)
    before = peak_bytes()
    # Large batches take minutes, and vary little.
    calls = 3 if samples <= 4096 else 1
    times = []
    for _ in range(calls):
        dist.barrier()
        times.append(seconds(lambda: step(loss, "ours", leaves)))
    torch.save((min(times), peak_bytes() - before), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def of_ranks(loss: str, samples: int, world: int, width: int) -> dict[str, Any]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, (world, folder, loss, samples, width), nprocs=world)
        results = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(world)]
    return {
        "loss": loss,
        "samples": samples,
        "width": width,
        "ranks": world,
        "milliseconds": round(1e3 * max(t for t, _ in results), 1),
        "megabytes": round(max(m for _, m in results) / 1e6, 1),
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    losses = list(dict.fromkeys(row["loss"] for row in rows))
    figure = Figure(figsize=(3.4 * len(losses), 6), layout="constrained")
    axes = figure.subplots(2, len(losses), sharex=True, squeeze=False)
    for column, loss in enumerate(losses):
        mine = [row for row in rows if row["loss"] == loss]
        for line, (name, unit) in enumerate((("milliseconds", "ms"), ("megabytes", "extra MB"))):
            axis = axes[line][column]
            for world in sorted({row["ranks"] for row in mine}):
                points = sorted((r["samples"], r[name]) for r in mine if r["ranks"] == world)
                label = f"{world} rank{'s' * (world > 1)}"
                axis.plot(*zip(*points, strict=True), marker="o", label=label)
            axis.set(xscale="log", yscale="log", ylabel=unit, title="" if line else loss)
            axis.grid(alpha=0.3)
        axes[0][column].legend(fontsize=7)
        axes[1][column].set_xlabel("samples N")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(x) for x in text.split(",")]  # noqa: E731
    parser.add_argument("--sizes", type=numbers, default=[1024, 4096, 16384, 65536])
    parser.add_argument("--ranks", type=numbers, default=[1, 2, 4])
    parser.add_argument("--losses", type=lambda text: text.split(","), default=list(LOSSES))
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    print(machine("torch"))
    print(*FIELDS, sep="\t")
    rows: list[dict[str, Any]] = []
    for loss in options.losses:
        for samples in options.sizes:
            for world in options.ranks:
                rows.append(of_ranks(loss, samples, world, options.width))
                print(*rows[-1].values(), sep="\t", flush=True)
                write(rows, FIELDS, options.output)
    plot(rows, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
