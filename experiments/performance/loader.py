"""Training samples per second: our loader against open_clip's own, on the same shards.

    python experiments/performance/loader.py

writes shards of JPEGs (structured noise and drawn shapes; 47 kB at 512 x 480) to a temporary folder
and reads them at 224 pixels, with open_clip's training crop (90 to 100 % of the area):

- open_clip: `open_clip_train.data.get_wds_dataset` with `open_clip.image_transform(is_train=True)`;
- faithful, fast, draft: this package's loader, `data.decoder` as named, `views=weak` at that scale;
- floor: a bare loop in one process that decodes the same bytes, crops and resizes as `fast` does.

All loaders take the same workers, batches and tokenizer, and take turns `--rounds` times.
`loader.csv` has the medians: for the first of `--sizes` with 1 to 4 workers, for the others with
two. It has samples per second of wall time, and CPU time per sample of all processes, which a busy
machine disturbs less. "share_of_floor" is the rate of each worker over the floor's rate. Rows of
"http" read the shards from a server on this machine that waits 20 ms before each answer; open_clip
reads them through curl, whose time and memory are not counted, nor are the server's. The rows of
other CPUs stay in the file.

Then the script measures how four workers read few shards, and the memory of the processes over
several epochs (`loader_memory.csv`, `loader.png`); not with `--workers`, which measures those
numbers of workers alone. It needs Linux and about a quarter of an hour on two cores.
`decoded_pixels.py` says how far the pixels are from Pillow's.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import open_clip_train.data as open_clip_data
import simplejpeg
import torch
from common import cpu, machine, write
from peers import renew_reader
from synthetic_jpegs import jpeg, synthetic_image

from cyclip_pl.data.jpeg import reduction
from cyclip_pl.data.module import DataModule
from cyclip_pl.data.settings import Shuffle, TrainSource
from cyclip_pl.data.views.weak import Weak

SIZE, BATCH, SHARD, SHARDS, IMAGES = 224, 64, 512, 8, 64
SCALE = (0.9, 1.0)
SIZES = ["512x480", "256x240", "1024x960"]
BATCHES = 12
LATENCY = 0.02  # seconds of the server
REMOTE = ("open_clip", "fast")
KEY = ("cpu", "size", "loader", "source", "workers")
Batches = Iterator[int]
"""The samples of each batch."""
SERVERS: list[subprocess.Popen[str]] = []


def write_shards(folder: Path, shards: int, width: int, height: int) -> None:
    images = [jpeg(synthetic_image(seed, width, height)) for seed in range(IMAGES)]
    kilobytes = statistics.mean(map(len, images)) / 1000
    print(f"{width} x {height}: {kilobytes:.1f} kB per image")
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for n in range(shard * SHARD, (shard + 1) * SHARD):
                caption = f"image number {n} of a synthetic collection, with a few shapes on it"
                for name, data in (("jpg", images[n % IMAGES]), ("txt", caption.encode())):
                    member = tarfile.TarInfo(f"{n:08d}.{name}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def floor(place: str, workers: int) -> Batches:
    with tarfile.open(f"{place}/00000.tar") as archive:
        files = (archive.extractfile(one) for one in archive if one.name.endswith(".jpg"))
        images = [file.read() for file in files if file]
    rng = np.random.default_rng(0)
    for number in itertools.count(1):
        data = images[number % len(images)]
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        side = math.sqrt(rng.uniform(*SCALE))
        factor = reduction(side * width, side * height, (SIZE, SIZE), keep=2)
        pixels = simplejpeg.decode_jpeg(
            data, min_height=-(-height // factor), min_width=-(-width // factor), min_factor=factor
        )
        lines, columns = (round(side * edge) for edge in pixels.shape[:2])
        planes = torch.from_numpy(pixels[:lines, :columns]).permute(2, 0, 1)[None]
        torch.nn.functional.interpolate(planes, (SIZE, SIZE), mode="bicubic", antialias=True)
        if number % BATCH == 0:
            yield BATCH


def peer(place: str, workers: int, shards: int = SHARDS) -> Batches:
    renew_reader()
    command = "pipe:curl -s " if "://" in place else ""
    arguments = SimpleNamespace(
        train_data=f"{command}{place}/{{00000..{shards - 1:05d}}}.tar",
        train_num_samples=shards * SHARD,
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        seed=0,
        batch_size=BATCH,
        workers=workers,
        world_size=1,
    )
    transform = open_clip.image_transform(SIZE, is_train=True)
    tokenizer = open_clip.get_tokenizer("RN50")
    loader = open_clip_data.get_wds_dataset(arguments, transform, True, tokenizer=tokenizer)
    for _ in itertools.count():
        for images, _ in loader.dataloader:
            yield len(images)


def ours(decoder: str) -> Callable[..., Batches]:
    def batches(place: str, workers: int, shards: int = SHARDS, resampled: bool = False) -> Batches:
        resampled = resampled or "://" in place  # exact epochs need local files
        samples = SHARDS * SHARD if resampled else None
        module = DataModule(
            TrainSource(f"{place}/{{00000..{shards - 1:05d}}}.tar", resampled, samples),
            batch_size=BATCH,
            workers=workers,
            views=Weak(SIZE, scale=SCALE, flip=0.0),
            tokenizer=open_clip.get_tokenizer("RN50"),
            seed=0,
            shuffle=Shuffle(buffer=1000),
            decoder=decoder,
        )
        module.setup("fit")
        loader = module.train_dataloader()
        try:
            for _ in itertools.count():
                for batch in loader:
                    yield len(batch)
        finally:
            module.teardown("fit")

    return batches


LOADERS: dict[str, Callable[..., Batches]] = {
    "floor": floor,
    "open_clip": peer,
    "faithful": ours("faithful"),
    "fast": ours("fast"),
    "draft": ours("draft"),
}


def processes() -> list[int]:
    """The ids of this process and its children, without the server."""
    mine = os.getpid()
    children = map(int, Path(f"/proc/{mine}/task/{mine}/children").read_text().split())
    return [mine, *(child for child in children if child not in {one.pid for one in SERVERS})]


def cpu_seconds() -> float:
    ticks = 0
    for process in processes():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory() -> float:
    """MB held by all processes; shared memory counts once."""
    return (
        sum(
            int(line.split()[1])
            for process in processes()
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        / 1000
    )


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a slow server of this folder."""
    script = Path(__file__).with_name("slow_server.py")
    command = [sys.executable, str(script), str(folder), str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        SERVERS.append(server)
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            SERVERS.remove(server)


def speed(batches: Batches, workers: int) -> tuple[float, float, float]:
    """Samples per second, CPU milliseconds per sample and MB, after each worker's first batches."""
    with closing(batches):  # type: ignore[type-var]
        for _ in range(3 * workers):
            next(batches)
        wall, spent = time.perf_counter(), cpu_seconds()
        count = sum(next(batches) for _ in range(BATCHES * workers))
        wall, spent = time.perf_counter() - wall, cpu_seconds() - spent
        held = memory()
    return count / wall, 1000 * spent / count, held


def throughput(
    folder: Path, size: str, by_workers: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    rows = []
    with served(folder) as address:
        cases = [(name, "files", str(folder)) for name in LOADERS]
        cases += [(name, "http", address) for name in REMOTE]
        for workers in by_workers:
            found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
            for _, (name, source, place) in itertools.product(range(rounds), cases):
                measured = speed(LOADERS[name](place, workers), workers)
                found.setdefault((name, source), []).append(measured)
            rows += [row(size, case, workers, found) for case in found]
            print(*rows[-len(found) :], sep="\n", flush=True)
    return rows


def row(
    size: str,
    case: tuple[str, str],
    workers: int,
    found: dict[tuple[str, str], list[tuple[float, ...]]],
) -> dict[str, Any]:
    name, source = case
    processes = 1 if name == "floor" else workers
    wall, spent, held = (statistics.median(column) for column in zip(*found[case], strict=True))

    def against(other: str, column: int, each: int = 1) -> float:
        """The median over the rounds of this case's speed over another's."""
        pairs = zip(found[case], found[other, "files"], strict=True)
        ratios = [(a[0] / b[0] / each, b[1] / a[1])[column] for a, b in pairs]
        return round(statistics.median(ratios), 2)

    return {
        **dict(zip(KEY, (cpu(), size, name, source, workers), strict=True)),
        "samples_per_second": round(wall),
        "times_open_clip": against("open_clip", 0),
        "share_of_floor": against("floor", 0, processes),
        "cpu_ms_per_sample": round(spent, 2),
        "times_open_clip_by_cpu": against("open_clip", 1),
        "share_of_floor_by_cpu": against("floor", 1),
        "megabytes": round(held),
    }


def kept(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The file's rows that these do not replace."""
    new = {tuple(str(row[field]) for field in KEY) for row in rows}
    with path.open(newline="") as lines:
        return [old for old in csv.DictReader(lines) if tuple(map(old.get, KEY)) not in new]


def few_shards(folder: Path) -> None:
    """Four workers on few shards: exact epochs stop if a reader would be idle."""
    for shards, resampled in itertools.product((1, 2, 4, 5, 8), (False, True)):
        kind = "resampled" if resampled else "exact epochs"
        try:
            wall, *_ = speed(LOADERS["fast"](str(folder), 4, shards, resampled), 4)
            result = f"{wall:.0f} samples/s"
        except ValueError as error:
            result = f"error: {error}"
        print(f"4 workers, {shards} shards, {kind}: {result}", flush=True)


def memory_over_epochs(folder: Path, epochs: int = 6) -> list[tuple[float, float, float]]:
    """(epoch, MB, samples per second since the row before) of two workers that read fast."""
    rows = []
    batches, an_epoch = LOADERS["fast"](str(folder), 2), SHARDS * SHARD / BATCH
    with closing(batches):  # type: ignore[type-var]
        for n in itertools.count(1):
            start, count = time.perf_counter(), sum(next(batches) for _ in range(8))
            rate = count / (time.perf_counter() - start)
            rows.append((8 * n / an_epoch, memory(), rate))
            if 8 * n >= epochs * an_epoch:
                return rows
    return rows


def plot(speeds: list[dict[str, Any]], rows: list[tuple[float, float, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in LOADERS:
        mine = [
            row
            for row in speeds
            if (row["loader"], row["size"], row["source"]) == (name, speeds[0]["size"], "files")
        ]
        left.plot(
            [row["workers"] for row in mine],
            [row["samples_per_second"] for row in mine],
            marker="o",
            label=name,
        )
    left.set(xlabel="workers", ylabel="samples per second", xticks=(1, 2, 3, 4), ylim=(0, None))
    left.legend()
    right.plot([row[0] for row in rows], [row[1] for row in rows])
    right.set(xlabel="epoch", ylabel="MB of all processes", ylim=(0, None))
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=lambda text: text.split(","), default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="a folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "open_clip_torch", "webdataset", "pillow", "simplejpeg"))
    speeds, rows = [], []
    for n, size in enumerate(options.sizes):
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_shards(folder, SHARDS, width, height)
            workers = options.workers or ((2,) if n else (1, 2, 3, 4))
            speeds += throughput(folder, size, workers, options.rounds)
            if n == 0 and not options.workers:
                few_shards(folder)
                rows = memory_over_epochs(folder)
    table = options.output / "loader.csv"
    before = kept(speeds, table) if table.exists() else []
    write(before + speeds, list(speeds[0]), table)
    if options.workers:
        return
    fields = ["epoch", "megabytes", "samples_per_second"]
    over_epochs = [dict(zip(fields, (round(x, 2) for x in row), strict=True)) for row in rows]
    write(over_epochs, fields, options.output / "loader_memory.csv")
    plot(speeds, rows, options.output / "loader.png")


if __name__ == "__main__":
    main()
