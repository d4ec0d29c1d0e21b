"""What evaluations cost on one and on two ranks: seconds, and peak memory per rank.

The model and the sets are synthetic: rows from a generator, nothing is decoded. Each measurement
has processes of its own, one thread per rank. Seconds are of the evaluation alone, its images and
texts encoded before; memory is what a rank's peak adds to the imports.

    python experiments/performance/evaluation.py
    python experiments/performance/evaluation.py --scale 0.01 --rounds 1  # a try
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from common import machine, peak_bytes, write
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.consistency import Consistency
from cyclip_pl.evaluation.protocols.geometry import Geometry
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot

WIDTH, CLASSES, CAPTIONS = 512, 1000, 5
IMAGES = {"zero_shot": 50_000, "geometry": 50_000, "consistency": 5_000, "retrieval": 5_000}
TRAIN = 50_000  # labelled training images of consistency


class Set:
    """Images that are their own number; labels, or captions, for each."""

    templates = ["{c}"]
    metric, hierarchy = "acc1", None

    def __init__(self, images: int, name: str, captions: bool = False) -> None:
        self.images, self.name = images, name
        self.fingerprint = f"{name} {images}"
        self.classnames = [f"class {k}" for k in range(CLASSES)]
        if captions:
            self.captions = [[f"{n} {i}" for i in range(CAPTIONS)] for n in range(images)]
        else:
            self.label_N = torch.arange(images) % CLASSES

    def __len__(self) -> int:
        return self.images

    def key(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> int:
        return index


class Library:
    """Hands out one set, whatever it is asked for."""

    def __init__(self, images: int, train: int, captions: bool) -> None:
        self.test, self.train = Set(images, "test", captions), Set(train, "train")

    def labelled(self, *arguments: Any) -> list[Set]:
        return [self.test]

    captioned = any_kind = labelled

    def splits(self, *arguments: Any) -> list[SimpleNamespace]:
        return [SimpleNamespace(test=self.test, train=self.train, val=None)]


class Model:
    """A row of noise for each image and text, the same wherever it is computed."""

    scale = 100.0
    device = torch.device("cpu")

    def preprocess(self, image: int) -> Tensor:
        return torch.tensor(image)

    def encode_image(self, images: Tensor) -> Tensor:
        return _noise(int(images[0]), len(images))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return _noise(crc32(texts[0].encode()), len(texts))


def _noise(seed: int, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, WIDTH, generator=generator), dim=-1)


PROTOCOLS: dict[str, Callable[..., Any]] = {
    "zero_shot": ZeroShot,
    "geometry": Geometry,
    "consistency": Consistency,
    "retrieval": Retrieval,
}


def _on_a_rank(rank: int, ranks: int, name: str, scale: float, folder: str) -> None:
    torch.set_num_threads(1)
    if ranks > 1:
        method = f"file://{folder}/rendezvous"
        dist.init_process_group("gloo", init_method=method, rank=rank, world_size=ranks)
    images, train = int(IMAGES[name] * scale), int(TRAIN * scale)
    library = Library(images, train, name == "retrieval")
    before = peak_bytes()
    store = FeatureStore(Model())
    evaluation = PROTOCOLS[name](["test"], library=library)
    store.images(library.test)
    if name == "retrieval":
        store.texts([text for of_image in library.test.captions for text in of_image])
    else:
        prompts = [[classname] for classname in library.test.classnames]
        store.classifier(library.test.classnames, prompts)
    if name == "consistency":
        store.images(library.train)
    wall, cpu = time.perf_counter(), time.process_time()
    evaluation(store)
    found = (time.perf_counter() - wall, time.process_time() - cpu, peak_bytes() - before)
    torch.save(found, f"{folder}/{rank}.pt")
    if ranks > 1:
        dist.destroy_process_group()


def measured(name: str, ranks: int, scale: float) -> tuple[float, float, float]:
    """Wall seconds, a rank's CPU seconds and bytes: the most of any rank."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_on_a_rank, (ranks, name, scale, folder), nprocs=ranks)
        found = [torch.load(f"{folder}/{rank}.pt") for rank in range(ranks)]
    wall, cpu, peak = (max(column) for column in zip(*found, strict=True))
    return wall, cpu, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    print(machine("torch"))
    rows = []
    for name in PROTOCOLS:
        for ranks in (1, 2):
            rounds = [measured(name, ranks, arguments.scale) for _ in range(arguments.rounds)]
            wall, cpu, peak = (statistics.median(x) for x in zip(*rounds, strict=True))
            rows.append(
                {
                    "evaluation": name,
                    "ranks": ranks,
                    "images": int(IMAGES[name] * arguments.scale),
                    "seconds": f"{wall:.2f}",
                    "cpu_seconds_per_rank": f"{cpu:.2f}",
                    "peak_mib_per_rank": f"{peak / 2**20:.0f}",
                }
            )
            print(rows[-1], flush=True)
    write(rows, list(rows[0]), arguments.output)


if __name__ == "__main__":
    main()
