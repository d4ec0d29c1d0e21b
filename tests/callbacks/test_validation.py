"""The validation loss: a formula's number, on any number of ranks, beside an undisturbed run."""

from __future__ import annotations

import csv
import io
import json
import logging
import tarfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch.plugins import DoublePrecision
from PIL import Image

from cyclip_pl.callbacks.validation import Validation
from cyclip_pl.data.settings import ValSource
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.models.load import load
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.training import train
from tests.data.shards import data_module, png, write_shards, write_tar
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed
from tests.helpers.distributed import run_distributed
from tests.helpers.formulas import contrastive, cross_modal, in_modal
from tests.helpers.modules import small_module

SIDE = 32
BATCH = 6


def tokenizer(texts: list[str]) -> torch.Tensor:
    """Eight tokens that tell the text, the last one its end."""
    sums = [zlib.crc32(text.encode()) for text in texts]
    return torch.tensor([[1 + n % 300, 5, 1 + n % 7, 0, 0, 0, 0, 49407] for n in sums])


def write_held_out(folder: Path) -> Path:
    """26 samples in three shards; two cannot be used, so there are four batches of 6, none over."""
    pairs: dict[str, dict[str, bytes]] = {
        f"{n:03d}": {"png": png(37 * n, (20, 30)), "txt": f"image {n}".encode()} for n in range(26)
    }
    del pairs["004"]["txt"]
    pairs["013"]["png"] = b"no image"
    for shard, first in enumerate((0, 9, 11)):
        keys = sorted(pairs)[first : (9, 11, 26)[shard]]
        write_tar(folder / f"{shard}.tar", {key: pairs[key] for key in keys})
    return folder


def measured(
    folder: Path, module: ContrastiveModule, name: str, rank: int = 0, ranks: int = 1
) -> dict[str, float]:
    """`measure` in float64, as a trainer of this rank would call it."""
    source = ValSource(str(folder / "held"), BATCH)
    views = instantiate(composed(f"objective={name}", "encoder.image_size=32").views)
    data = data_module(
        folder / "train",
        val=source,
        views=views,
        tokenizer=tokenizer,
        image_size=SIDE,
        rank=rank,
        ranks=ranks,
    )
    data.setup("fit")
    trainer: Any = SimpleNamespace(
        datamodule=data,
        world_size=ranks,
        global_rank=rank,
        is_global_zero=rank == 0,
        precision_plugin=DoublePrecision(),
        strategy=SimpleNamespace(batch_to_device=lambda batch: batch),
    )
    module.eval()
    with torch.no_grad():
        return Validation(source).measure(trainer, module, ["val"])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_held_out(folder / "held")
    write_shards(folder / "train", [6] * 4, first=500)
    return folder


def test_it_is_the_mean_of_the_formula_over_the_batches(
    shards: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = small_module("cyclip").eval()
    with caplog.at_level(logging.WARNING):
        found = measured(shards, module, "cyclip")
    assert "data.val.shards: left out: missing caption 1, undecodable image 1" in caplog.text
    usable = [n for n in range(26) if n not in (4, 13)]
    view = Plain(SIDE)
    embedded = []
    with torch.no_grad():
        for n in usable:
            colour = (37 * n // 256, 37 * n % 256, 200)
            pixels, _ = view.view(Image.new("RGB", (20, 30), colour), None)
            image = module.projector.project_image(module.encoder.encode_image(pixels[None]))
            text = module.projector.project_text(
                module.encoder.encode_text(tokenizer([f"image {n}"]))
            )
            embedded.append((image[0], text[0]))
    sums = dict.fromkeys(("contrastive", "in_modal", "cross_modal"), 0.0)
    for first in range(0, 24, BATCH):
        image, text = (
            torch.stack(rows) for rows in zip(*embedded[first : first + BATCH], strict=True)
        )
        sums["contrastive"] += contrastive(image, text, module.scale).item() / 4
        sums["in_modal"] += in_modal(image, text).item() / 4
        sums["cross_modal"] += cross_modal(image, text).item() / 4
    sums["total"] = sums["contrastive"] + 0.25 * (sums["in_modal"] + sums["cross_modal"])
    assert found == pytest.approx({f"val/{k}": v for k, v in sums.items()}, rel=1e-10)


NAMES = ("cyclip", "uniclip", "slip")


def _on_this_rank(folder: Path) -> list[dict[str, float]]:
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    # Three samples of a rank in pieces of two and one.
    modules = [small_module(name, microbatch=2) for name in NAMES]
    pairs = zip(modules, NAMES, strict=True)
    return [measured(folder, module, name, rank, ranks) for module, name in pairs]


@pytest.mark.slow
def test_two_ranks_have_the_numbers_of_one(shards: Path) -> None:
    alone = [measured(shards, small_module(name), name) for name in NAMES]
    for found in run_distributed(_on_this_rank, 2, shards):
        for one, both in zip(alone, found, strict=True):
            assert both == pytest.approx(one, rel=1e-10, abs=1e-12)


def test_too_few_usable_samples_are_one_line(tmp_path: Path) -> None:
    write_held_out(tmp_path / "held")
    write_shards(tmp_path / "train", [6] * 4)
    bad = {f"{n}": {"png": b"", "txt": b"image 1"} for n in range(8)}
    for path in (tmp_path / "held").iterdir():
        write_tar(path, bad if path.stem == "0" else {})
    with pytest.raises(ValueError, match=r"^data.val.batch_size=6: .* fewer usable .*image 6\)"):
        measured(tmp_path, small_module("cyclip"), "cyclip")


def _validated(world: Path, folder: Path) -> list[str]:
    """The world's own pairs in other files, as held-out samples: four batches of 24."""
    held = folder / "held"
    held.mkdir(exist_ok=True)
    for path in (world / "train").iterdir():
        (held / path.name).write_bytes(path.read_bytes())
    return [
        *cheap(world, 6),
        "evaluation=[]",
        f"data.val.shards={held}",
        "data.val.batch_size=24",
        "callbacks.last.every_n_steps=3",
    ]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    file = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return dict(file["state_dict"])


@pytest.mark.slow
def test_a_run_is_what_it_is_without(world: Path, tmp_path: Path) -> None:
    """Bit for bit, resumed or not; the numbers reach every place."""
    settings = _validated(world, tmp_path)
    without = [one for one in settings if not one.startswith("data.val.")]
    more = ["data.val.every_n_steps=2", "callbacks.best.monitor=val/total"]
    more += ["callbacks.best.mode=min", "objective=slip", "data.workers=2"]
    other = ["objective=slip", "data.workers=2"]
    train(composed(*without, *other, run_dir=tmp_path / "without"))
    metrics = train(composed(*settings, *more, run_dir=tmp_path / "with"))
    train(composed(*settings, *more, "trainer.max_steps=3", run_dir=tmp_path / "again"))
    train(composed(*settings, *more, "resume=auto", run_dir=tmp_path / "again"))
    expected = _weights(tmp_path / "without")
    for folder in ("with", "again"):
        found = _weights(tmp_path / folder)
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
        with (tmp_path / folder / "csv/metrics.csv").open() as file:
            rows = {int(r["step"]): r["val/total"] for r in csv.DictReader(file) if r["val/total"]}
        # Every second step, at the end of each epoch of four steps, and at the end.
        assert list(rows) == ([1, 3, 5] if folder == "with" else [1, 2, 3, 5])
        assert float(rows[5]) == metrics["val/total"]
    assert metrics == json.loads((tmp_path / "with/metrics.json").read_text())
    terms = {"val/total", "val/contrastive", "val/nt_xent"}
    assert {name for name in metrics if name.startswith("val/")} == terms
    best = torch.load(tmp_path / "with/checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == 1 + min(rows, key=lambda step: float(rows[step]))


def _formula(folder: Path, held: Path) -> float:
    """The mean contrastive loss of the checkpoint in `folder`, by what a user would call."""
    model = load(folder)
    images, texts = [], []
    for path in sorted(held.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member).read()
                if member.name.endswith("png"):
                    images.append(model.preprocess(Image.open(io.BytesIO(data))))
                elif member.name.endswith("txt"):
                    texts.append(data.decode())
    with torch.no_grad():
        image = model.encode_image(torch.stack(images)).double().split(24)
        text = model.encode_text(texts).double().split(24)
    losses = [contrastive(i, t, model.scale) for i, t in zip(image, text, strict=True)]
    return torch.stack(losses).mean().item()


@pytest.mark.slow
def test_it_is_that_of_the_averaged_weights_in_the_checkpoint(world: Path, tmp_path: Path) -> None:
    settings = [*_validated(world, tmp_path), "callbacks=[default,ema]", "callbacks.ema.decay=0.5"]
    settings += ["trainer.precision=32-true"]
    # Lightning's own finds it at the end of each epoch.
    own = "lightning.pytorch.callbacks.EarlyStopping"
    settings += [f"+callbacks.own={{_target_: {own}, monitor: val/total, patience: 9}}"]
    settings += ["optimizer.lr=0.01", "microbatch=5"]
    metrics = train(composed(*settings, run_dir=tmp_path / "run"))
    expected = _formula(tmp_path / "run", tmp_path / "held")
    assert metrics["val/contrastive"] == pytest.approx(expected, rel=1e-4)
