"""Seconds and images until the default run names 30 % of the images of styles it never saw.

    npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
    python experiments/performance/time_to_accuracy.py --drawings package/img/google/64

The goal is the mean of two zero-shot accuracies: on `emoji_line`, and on the colour drawings of a
vendor that takes no part in training, images named by code points. Two recipes reach for it:

- ours: the default configuration, with what `--override` adds;
- open_clip: its loss, loader, augmentation and training loop, with AdamW at the same rate, batch,
  schedule and encoder. Captions are the names.

Every `--every` steps the clock stops, and both sets are evaluated with all prompts. The schedule is
that of the whole run, so a recipe with fewer steps is another recipe. Rows of other machines and
recipes stay in `--output`.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import multiprocessing
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import open_clip
import open_clip_train.data as open_clip_data
import torch
from common import alone, cpu, machine, write
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from open_clip_train.scheduler import cosine_lr
from open_clip_train.train import train_one_epoch
from peers import ADAMW, adamw, renew_reader
from PIL import Image
from step import registered
from torch.nn.functional import normalize

from cyclip_pl.callbacks.throughput import Throughput
from cyclip_pl.data.prepare.emoji_names import base_emoji, to_key
from cyclip_pl.data.prepare.emoji_sets import TEMPLATES
from cyclip_pl.data.prepare.shards import write_classification_set
from cyclip_pl.images import to_rgb
from cyclip_pl.precision import precision
from cyclip_pl.training import train

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data" / "emoji"
GOAL = 0.3
FIELDS = ["recipe", "seed", "cpu", "threads", "precision", "steps", "step", "images", "seconds"]
FIELDS += ["line", "vendor"]


def write_vendor_set(drawings: Path, folder: Path) -> None:
    """The drawings of the names of `emoji_line` as a zero-shot set of the same classes."""
    classes = (DATA / "emoji_line" / "classnames.txt").read_text("utf-8").splitlines()
    names = {emoji.key: emoji.name for emoji in base_emoji()}
    paths = {to_key(path.stem): path for path in sorted(drawings.glob("*.png"))}
    labels = {key: names[key] for key in paths if names.get(key) in set(classes)}
    if not labels:
        raise SystemExit(
            f"--drawings={drawings}: no PNG is named by the code point of a known emoji"
        )
    images = {key: paths[key].read_bytes() for key in labels}
    write_classification_set(folder, images, labels, classes, TEMPLATES)


class Judge:
    """Zero-shot accuracies of an open_clip model on both sets, which are read once."""

    def __init__(self, sets: list[Path], preprocess: Any, tokenizer: Any) -> None:
        self.sets = []
        for folder in sets:
            images, labels = zip(*samples(folder), strict=True)
            names = (folder / "classnames.txt").read_text("utf-8").splitlines()
            prompts = [t.replace("{c}", name) for name in names for t in TEMPLATES]
            pixels = torch.stack([preprocess(image) for image in images])
            self.sets.append((pixels, torch.tensor(labels), tokenizer(prompts)))

    @torch.no_grad()
    def __call__(self, model: torch.nn.Module) -> list[float]:
        model.eval()
        found = []
        for pixels, labels, tokens in self.sets:
            images = torch.cat([model.encode_image(part) for part in pixels.split(256)])
            texts = torch.cat([model.encode_text(part) for part in tokens.split(256)])
            texts = normalize(texts, dim=-1).unflatten(0, (-1, len(TEMPLATES))).mean(1)
            scores = normalize(images, dim=-1) @ normalize(texts, dim=-1).T
            found.append((scores.argmax(1) == labels).float().mean().item())
        model.train()
        return found


def ours(seed: int, sets: list[Path], every: int, overrides: list[str]) -> dict[str, Any]:
    """The curve of one run in this process: a list of (step, images, seconds, line, vendor)."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "curve.json"
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            fixed = ["evaluation=[]", "callbacks.best.monitor=null", f"run_dir={folder}/run"]
            config = compose("train", [f"seed={seed}", *fixed, *overrides])
        OmegaConf.set_struct(config, False)
        curve = {"sets": [str(one) for one in sets], "every": every, "output": str(output)}
        config.callbacks.curve = {"_target_": "time_to_accuracy.Curve", **curve}
        with redirect_stdout(StringIO()):
            train(config)
        found = json.loads(output.read_text("utf-8"))
    steps = config.trainer.max_steps
    return {"precision": precision(config.trainer), "steps": steps, "curve": found}


class Curve(L.Callback):
    """Evaluates every `every` steps and at the end, while the clock of `Throughput` stands."""

    def __init__(self, sets: list[str], every: int, output: str) -> None:
        self.sets, self.every, self.output = [Path(one) for one in sets], every, Path(output)
        self.found: list[tuple[Any, ...]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        encoder = pl_module.encoder
        self.judge = Judge(self.sets, preprocess(encoder.image_size), encoder.tokenizer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *unused: Any) -> None:
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps:
            return
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        clock = next(one for one in callbacks if isinstance(one, Throughput))
        accuracies = self.judge(pl_module.encoder.model)
        self.found.append((step, clock.samples, clock.seconds, *accuracies))
        self.output.write_text(json.dumps(self.found), "utf-8")


def preprocess(size: int) -> Callable[[Any], torch.Tensor]:
    return open_clip.image_transform(size, is_train=False)


def samples(folder: Path) -> list[tuple[Any, int]]:
    """The images of a zero-shot set and their classes."""
    found = []
    for shard in sorted((folder / "test").glob("*.tar")):
        with tarfile.open(shard) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name, data in files.items():
            stem, _, kind = name.rpartition(".")
            if kind == "cls":
                image = next(
                    files[f"{stem}.{x}"] for x in ("png", "webp") if f"{stem}.{x}" in files
                )
                found.append((to_rgb(Image.open(io.BytesIO(image))), int(data)))
    return found


def peer(seed: int, sets: list[Path], every: int, overrides: list[str]) -> dict[str, Any]:
    """As `ours`, with what open_clip has; an epoch of its loader is `every` steps."""
    # Its loader cannot be pickled, and the workers of a spawned process would be spawned.
    multiprocessing.set_start_method("fork", force=True)
    renew_reader()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["optimizer=adamw", "run_dir=unused", *overrides])
    steps, batch = config.trainer.max_steps, config.data.batch_size
    instantiate(config.encoder)  # registers the architecture's name with open_clip
    torch.manual_seed(seed)
    native = precision(config.trainer)
    model = open_clip.create_model(
        registered(), force_image_size=config.encoder.image_size, output_dict=True
    )
    optimizer = adamw(model)
    arguments = SimpleNamespace(
        train_data=str(DATA / "train" / "{00000..00015}.tar"),
        train_num_samples=every * batch,
        train_data_upsampling_factors=None,
        dataset_resampled=True,
        seed=seed,
        batch_size=batch,
        workers=1,
        world_size=1,
        device="cpu",
        precision={"bf16-mixed": "amp_bf16"}.get(native, "fp32"),
        distill=False,
        accum_freq=1,
        skip_scheduler=False,
        grad_clip_norm=1.0,
        horovod=False,
        rank=0,
        local_rank=0,
        log_local=False,
        log_every_n_steps=100,
        wandb=False,
    )
    tokenizer = open_clip.get_tokenizer(registered())
    size = config.encoder.image_size
    transform = open_clip.image_transform(size, is_train=True)
    data = {
        "train": open_clip_data.get_wds_dataset(arguments, transform, True, tokenizer=tokenizer)
    }
    schedule = cosine_lr(optimizer, ADAMW["lr"], config.scheduler.warmup_steps, steps)
    judge = Judge(sets, preprocess(size), tokenizer)
    loss = open_clip.ClipLoss(cache_labels=True)
    curve, seconds = [], 0.0
    for epoch in range(steps // every):
        start = time.perf_counter()
        train_one_epoch(model, data, loss, epoch, optimizer, None, schedule, None, arguments)
        seconds += time.perf_counter() - start
        step = (epoch + 1) * every
        curve.append((step, step * batch, seconds, *judge(model)))
    return {"precision": native, "steps": steps, "curve": curve}


RECIPES = {"ours": ours, "open_clip": peer}


def reached(curve: list[tuple[Any, ...]]) -> tuple[int, float] | None:
    """Images and seconds at the first evaluation that meets the goal."""
    for _, images, seconds, line, vendor in curve:
        if (line + vendor) / 2 >= GOAL:
            return images, seconds
    return None


def tell(recipe: str, seed: int, curve: list[tuple[Any, ...]]) -> None:
    _, images, seconds, line, vendor = curve[-1]
    end = f"{seconds:.0f} s, {images:,} images: line {line:.1%}, vendor {vendor:.1%}"
    first = reached(curve)
    goal = f"{first[1]:.0f} s, {first[0]:,} images" if first else "not reached"
    print(f"{recipe}, seed {seed}: {GOAL:.0%} in {goal}; whole run {end}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drawings", type=Path, required=True, help="PNG files by code point")
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=list(RECIPES))
    parser.add_argument("--seeds", type=lambda text: text.split(","), default=["0", "1", "2"])
    parser.add_argument("--every", type=int, default=100, help="steps between evaluations")
    parser.add_argument("--override", action="append", default=[], help="of train.py; repeatable")
    parser.add_argument("--name", default="", help="of the recipe, if --override makes another one")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    print(
        machine("torch", "open_clip_torch", "timm"), f"{torch.get_num_threads()} threads", sep="; "
    )
    rows: list[dict[str, Any]] = []
    if options.output.exists():
        with options.output.open() as file:
            rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as folder:
        vendor = Path(folder) / "vendor"
        write_vendor_set(options.drawings, vendor)
        sets = [DATA / "emoji_line", vendor]
        for recipe, seed in itertools.product(options.recipes, map(int, options.seeds)):
            run = alone(RECIPES[recipe], seed, sets, options.every, options.override)
            recipe = options.name or recipe
            tell(recipe, seed, run["curve"])
            same = {"recipe": recipe, "seed": str(seed), "cpu": cpu()}
            rows = [row for row in rows if not same.items() <= row.items()]
            for step, images, seconds, line, colour in run["curve"]:
                values = (recipe, str(seed), cpu(), torch.get_num_threads(), run["precision"])
                values += (run["steps"], step, images, round(seconds, 1))
                values += (round(line, 4), round(colour, 4))
                rows.append(dict(zip(FIELDS, values, strict=True)))
            write(rows, FIELDS, options.output)


if __name__ == "__main__":
    main()
