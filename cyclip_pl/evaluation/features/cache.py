"""Encoded images on disk, under a key that cannot go stale."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cyclip_pl import files
from cyclip_pl.distributed import rank, world_size
from cyclip_pl.evaluation.features.blocks import Block
from cyclip_pl.evaluation.features.encode import device_of, encode_batch
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.types import Model

logger = logging.getLogger(__name__)

VERSION = 2
"""Goes up when what is stored, or how it is computed from a model and its pixels, changes."""

_PROBES = ((48, 37), (517, 640))  # one that most preprocessing enlarges, one that it shrinks


class FeatureCache:
    """A folder of files: of each model and set, one per rank that encoded it.

    A file holds the blocks of its rank. Any number of ranks can read them: each takes its own
    blocks from whichever files have them, first of all from its own.

    The key hashes the model's weights and structure, its preprocessing of two probe images and its
    outputs for them (which a changed attribute, precision or device shows in), the set's content
    and the batch size, which the last bits depend on. Nothing is looked up by a name or a time.
    Files that are not used any more stay until they are deleted.

    Args:
        folder: Made if there is none.
        model: An `nn.Module`; its weights must stay as they are.
        batch_size: Images encoded at once.

    Raises:
        ValueError: The folder cannot be made, or the model is not an `nn.Module`.
    """

    def __init__(self, folder: str | Path, model: Model, batch_size: int) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"features.cache={folder}: {error.strerror}") from error
        self._of_model = f"{VERSION}/{model_fingerprint(model)}/{batch_size}"

    def path(self, fingerprint: str) -> Path:
        """Where this rank's blocks of the set with this fingerprint are, or would be."""
        return self.folder / f"{self._key(fingerprint)}-{rank()}of{world_size()}.safetensors"

    def _key(self, fingerprint: str) -> str:
        return hashlib.sha256(f"{self._of_model}/{fingerprint}".encode()).hexdigest()

    def read(
        self, fingerprint: str, positions: Iterable[int], features: bool
    ) -> dict[int, Block] | None:
        """The blocks of a set at these positions; None if one is not stored, or damaged.

        Args:
            positions: As in `encode_images`; -1 is a block of no rows.
            features: Whether blocks without features do not serve.
        """
        wanted, found = set(positions), dict[int, Block]()
        own = self.path(fingerprint)
        paths = sorted(self.folder.glob(f"{self._key(fingerprint)}-*.safetensors"))
        for path in sorted(paths, key=lambda path: path != own):
            if wanted <= found.keys():
                break
            found.update(_read(path, wanted, features))
        return {start: found[start] for start in sorted(wanted)} if wanted <= found.keys() else None

    def write(self, fingerprint: str, blocks: Mapping[int, Block]) -> None:
        """Store this rank's blocks of a set: whole or not at all."""
        stored = [block for start, block in blocks.items() if start >= 0]
        if not stored:
            return
        tensors = {
            "start_B": torch.tensor([start for start in blocks if start >= 0]),
            "size_B": torch.tensor([len(block) for block in stored]),
        }
        for field in fields(Block):
            parts = [getattr(block, field.name) for block in stored]
            if parts[0] is not None:
                tensors[field.name] = torch.cat(parts)
        with files.atomic(self.path(fingerprint)) as partial:
            save_file(tensors, partial, metadata={"sha256": _digest(sorted(tensors.items()))})


def _read(path: Path, wanted: set[int], features: bool) -> dict[int, Block]:
    """Those of the wanted blocks that a file has; none if it is damaged or lacks features."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError, RuntimeError):
        digest, tensors = None, {}
    if digest != _digest(sorted(tensors.items())):
        logger.warning("%s is damaged: its features are computed again", path)
        return {}
    if features and "feature_bF" not in tensors:
        return {}
    starts, sizes = tensors.pop("start_B").tolist(), tensors.pop("size_B").tolist()
    found, first = {}, 0
    for start, size in [(-1, 0), *zip(starts, sizes, strict=True)]:
        if start in wanted:
            # A copy, since a view would keep the whole file in memory.
            parts = {name: x[first : first + size].clone() for name, x in tensors.items()}
            found[start] = Block(**{"feature_bF": None, **parts})
        first += size
    return found


def model_fingerprint(model: Model) -> str:
    """A hash of all that an image's embedding depends on: weights, structure, preprocessing.

    Raises:
        ValueError: The model is not an `nn.Module`: its weights cannot be seen.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"features.cache must be null: a {type(model).__name__} does not show its weights"
        )
    pixels = [model.preprocess(_probe(*size)) for size in _PROBES]
    with evaluation_mode(model):
        # One by one: the pixels need not have one shape.
        outputs = [
            part.float()
            for image in pixels
            for part in encode_batch(model, image[None].to(device_of(model)), features=True)
        ]
    # Buffers too: the state dict lacks those that are not saved, such as a mean to subtract.
    parts = {**dict(model.named_buffers()), **model.state_dict()}
    named = [
        *sorted((name, part) for name, part in parts.items() if isinstance(part, Tensor)),
        *((f"pixels {n}", image) for n, image in enumerate(pixels)),
        *((f"output {n}", output) for n, output in enumerate(outputs)),
    ]
    return hashlib.sha256(f"{model!r}\n{_digest(named)}".encode()).hexdigest()


def _probe(width: int, height: int) -> Image.Image:
    """An image with slopes, edges and fine detail in each channel."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 5 + y * 3) % 256, (x * y) % 251, np.where((x // 7 + y // 5) % 2, 230, 20)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def _digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """Of names, types, shapes and every byte."""
    digest = hashlib.sha256()
    for name, tensor in named:
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
