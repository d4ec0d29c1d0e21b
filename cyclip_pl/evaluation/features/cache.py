"""Encoded images on disk, under a key that cannot go stale."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cyclip_pl import files
from cyclip_pl.distributed import rank, world_size
from cyclip_pl.evaluation.features.blocks import Rows
from cyclip_pl.evaluation.features.encode import device_of, encode_batch
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.types import Model

logger = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the stored values, or their way from a model and its pixels, change."""

_PROBES = ((48, 37), (517, 640))  # one that most preprocessing enlarges, one that it shrinks


class FeatureCache:
    """A folder of files: of each model and set, one per rank that encoded it.

    A file holds the batches of its rank. Any number of ranks can read them: each takes its own
    batches from whichever files have them, first of all from its own.

    The key hashes the model's weights and structure, its preprocessing of two probe images and its
    outputs for them (which a changed attribute, precision or device shows in), the set's content
    and the batch size, which the last bits depend on. Nothing is looked up by a name or a time.
    Files that are not used any more stay until they are deleted.

    Args:
        folder: Made if there is none.
        model: An `nn.Module`; its weights must stay as they are.
        batch_size: Images encoded at once.

    Attributes:
        of_model: What of the key is the model's.

    Raises:
        ValueError: The folder cannot be made, or the model is not an `nn.Module`.
    """

    def __init__(self, folder: str | Path, model: Model, batch_size: int) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"features.cache={folder}: {error.strerror}") from error
        self.of_model = f"{VERSION}/{model_fingerprint(model)}/{batch_size}"

    def path(self, fingerprint: str) -> Path:
        """Where this rank's share of the set with this fingerprint is, or would be."""
        return self.folder / f"{self._key(fingerprint)}-{rank()}of{world_size()}.safetensors"

    def _key(self, fingerprint: str) -> str:
        return hashlib.sha256(f"{self.of_model}/{fingerprint}".encode()).hexdigest()

    def read(
        self, fingerprint: str, positions: Collection[int], features: bool
    ) -> tuple[Rows, dict[int, int]] | None:
        """As `encode_images`, from files; None if a batch is not stored, or damaged.

        Args:
            positions: The first positions of this rank's batches, increasing.
            features: Whether rows without features do not serve.
        """
        own = self.path(fingerprint)
        paths = sorted(self.folder.glob(f"{self._key(fingerprint)}-*.safetensors"))
        empty: Rows | None = None
        found: dict[int, Rows] = {}
        for path in sorted(paths, key=lambda path: path != own):
            stored = _read(path)
            if stored is None or (features and stored[0].feature_nF is None):
                continue
            rows, sizes = stored
            if not features:
                rows.feature_nF = None  # not every file need have them
            empty, first = rows[:0], 0
            for start, size in sizes.items():
                if start in positions:
                    found[start] = rows[first : first + size]
                first += size
            if found.keys() >= set(positions):
                parts = [empty, *(found[start] for start in positions)]
                return _joined(parts), {start: len(found[start]) for start in positions}
        return None

    def write(self, fingerprint: str, rows: Rows, sizes: Mapping[int, int]) -> None:
        """Store this rank's share of a set: whole or not at all."""
        if sizes:
            tensors = {
                **rows.columns(),
                "starts": torch.tensor(list(sizes)),
                "sizes": torch.tensor(list(sizes.values())),
            }
            write_tensors(self.path(fingerprint), tensors)


def _read(path: Path) -> tuple[Rows, dict[int, int]] | None:
    tensors = read_tensors(path)
    if tensors is None:
        return None
    starts, sizes = (tensors.pop(name).tolist() for name in ("starts", "sizes"))
    return Rows(**tensors), dict(zip(starts, sizes, strict=True))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """With a checksum; whole or not at all."""
    with files.atomic(path) as partial:
        save_file(dict(tensors), partial, metadata={"sha256": digest(sorted(tensors.items()))})


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """What a file holds; None if it is damaged, and the log says so."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError, RuntimeError):
        stored, tensors = None, {}
    if stored != digest(sorted(tensors.items())):
        logger.warning("%s is damaged: its features are computed again", path)
        return None
    return tensors


def _joined(parts: Sequence[Rows]) -> Rows:
    columns = [part.columns() for part in parts]
    return Rows(**{name: torch.cat([column[name] for column in columns]) for name in columns[0]})


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
    return hashlib.sha256(f"{nn.Module.__repr__(model)}\n{digest(named)}".encode()).hexdigest()


def _probe(width: int, height: int) -> Image.Image:
    """An image with slopes, edges and fine detail in each channel."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 5 + y * 3) % 256, (x * y) % 251, np.where((x // 7 + y // 5) % 2, 230, 20)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """Of names, types, shapes and every byte."""
    found = hashlib.sha256()
    for name, tensor in named:
        tensor = tensor.detach().cpu().contiguous()
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
