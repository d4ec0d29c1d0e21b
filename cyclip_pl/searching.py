"""A page on this machine that searches images and captions with one model or several."""

from __future__ import annotations

import webbrowser
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from cyclip_pl.files import locked, reason
from cyclip_pl.models.load import load
from cyclip_pl.plain_config import to_plain
from cyclip_pl.search.engine import Engine, Side
from cyclip_pl.search.index import image_rows, index_folder, text_rows
from cyclip_pl.search.kept import listing_folder, open_listing
from cyclip_pl.search.server import SearchServer
from cyclip_pl.signals import Stopped


def search(config: DictConfig) -> None:
    """Do what `conf/search.yaml` describes, until a signal comes.

    Raises:
        ValueError: No usable model, shard, folder or port.
    """
    settings = to_plain(config, throw_on_missing=True)
    # First: a port in use is told before an hour of encoding, not after it.
    with SearchServer(settings["host"], settings["port"]) as server:
        try:
            engine = _engine(settings)
            print(f"search at {server.url} (Ctrl-C ends it)", flush=True)
            if settings["open"]:
                webbrowser.open(server.url)
            server.serve(engine)
        except Stopped as stopped:
            stopped.tell("")
            raise


def _engine(settings: dict[str, Any]) -> Engine:
    device = _device(settings["device"])
    cache = Path(settings["cache"]).expanduser()
    shards = settings["shards"]
    specs = [shards] if isinstance(shards, str) else shards
    limit, caption_key = settings["limit"], settings["caption_key"]
    folder = listing_folder(specs, cache, caption_key, limit)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cache={settings['cache']}: {reason(error)}") from error
    sides = []
    with locked(folder / ".lock"):
        listing = open_listing(specs, folder, caption_key, limit)
        print(
            f"{len(listing):,} images with {len(listing.texts):,} different captions in"
            f" {len(listing.shards)} shards" + _skipped(listing.skipped),
            flush=True,
        )
        for name, spec in named(settings["checkpoint"]).items():
            model = load(spec, device=device, trust=settings["trust"])
            own = index_folder(model, listing, folder)
            image_ND = image_rows(model, listing, own, settings["batch_size"], settings["workers"])
            text_UD = text_rows(model, listing.texts, own, settings["batch_size"])
            sides.append(side := Side(name, model, image_ND, text_UD))
            if not len(side.images):
                raise ValueError(f"shards: {name} has no finite embedding of any image")
    engine = Engine(listing, sides)
    if undecodable := engine.about()["undecodable"]:
        print(f"images that cannot be decoded, and are not found: {undecodable:,}", flush=True)
    return engine


def named(checkpoint: Any) -> dict[str, str]:
    """The models by name: that of the folder or file, or all that was typed where two share one.

    Raises:
        ValueError: A checkpoint is not a text, or one is listed twice.
    """
    if isinstance(checkpoint, dict):
        pairs = [(str(name), spec) for name, spec in checkpoint.items()]
    else:
        specs = [checkpoint] if isinstance(checkpoint, str) else checkpoint
        names = [_short(spec) for spec in specs]
        alone = Counter(names)
        pairs = [
            (name if alone[name] == 1 else spec, spec)
            for name, spec in zip(names, specs, strict=True)
        ]
    for name, spec in pairs:
        if not isinstance(spec, str) or not spec:
            raise ValueError(f"checkpoint: {name} must be a checkpoint, not {spec!r}")
    if len(dict(pairs)) < len(pairs):
        raise ValueError(
            f"checkpoint={checkpoint}: one is listed twice; write {{NAME: CHECKPOINT}}"
        )
    return dict(pairs)


def _short(spec: Any) -> str:
    """`runs/a/checkpoints/last.ckpt` → `a`; `hf-hub:ORG/NAME` → `NAME`."""
    parts = [part for part in str(spec).split("/") if part]
    if len(parts) > 2 and parts[-2] == "checkpoints":
        return parts[-3]
    return parts[-1] if parts else str(spec)


def _skipped(skipped: dict[str, int]) -> str:
    listed = ", ".join(f"{cause} {count:,}" for cause, count in skipped.items())
    return f" ({listed})" if listed else ""


def _device(device: str) -> torch.device:
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        torch.empty(1, device=device)
        return torch.device(device)
    except Exception as error:  # torch raises several, about unknown and about absent devices
        line = reason(error).split(". ")[0]
        raise ValueError(f"device={device}: cannot be used here: {line}") from error
