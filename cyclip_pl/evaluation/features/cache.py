"""Encoded images on disk, under a key that cannot go stale."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cyclip_pl.evaluation.features.encode import device_of, encode_batch
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.types import Model

logger = logging.getLogger(__name__)

VERSION = 2
"""Goes up when what is stored, or how it is computed from a model and its pixels, changes."""

_PROBES = ((48, 37), (517, 640))  # one that most preprocessing enlarges, one that it shrinks


class FeatureCache:
    """A folder of files, one for each model and set.

    The key hashes the model's weights and structure, what its preprocessing makes of two probe
    pictures and what it makes of these itself (which a changed attribute, precision or device
    shows in), the set's content and the batch size, whose choice the last bits depend on. Nothing
    is ever looked up by a name or a time. Files that nothing asks for any more stay until they
    are deleted.

    Args:
        folder: Made if there is none.
        model: An `nn.Module`; its weights must stay as they are.
        batch_size: Images encoded at once.

    Raises:
        ValueError: The folder cannot be made, or the model is no `nn.Module`.
    """

    def __init__(self, folder: str | Path, model: Model, batch_size: int) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"features.cache={folder}: {error.strerror}") from error
        self._of_model = f"{VERSION}/{model_fingerprint(model)}/{batch_size}"

    def path(self, fingerprint: str) -> Path:
        """Where the features of the set with this fingerprint are, or would be."""
        key = hashlib.sha256(f"{self._of_model}/{fingerprint}".encode()).hexdigest()
        return self.folder / f"{key}.safetensors"

    def read(self, fingerprint: str) -> dict[str, Tensor] | None:
        """What was stored for a set; None if there is nothing, or it is damaged."""
        path = self.path(fingerprint)
        if not path.is_file():
            return None
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                digest = (file.metadata() or {}).get("sha256")
        except (SafetensorError, OSError, ValueError, RuntimeError):
            digest, tensors = None, {}
        if digest != _digest(sorted(tensors.items())):
            logger.warning("%s is damaged: its features are computed again", path)
            return None
        return tensors

    def write(self, fingerprint: str, tensors: Mapping[str, Tensor]) -> None:
        """Store tensors for a set: whole or not at all."""
        digest = _digest(sorted(tensors.items()))
        path = self.path(fingerprint)
        partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")  # two runs may write it
        try:
            save_file(dict(tensors), partial, metadata={"sha256": digest})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def model_fingerprint(model: Model) -> str:
    """A hash of all that a picture's embedding depends on: weights, structure, preprocessing.

    Raises:
        ValueError: The model is no `nn.Module`: its weights cannot be seen.
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
    # Buffers too: those that are not saved, such as a mean to subtract, are no weights.
    parts = {**dict(model.named_buffers()), **model.state_dict()}
    named = [
        *sorted((name, part) for name, part in parts.items() if isinstance(part, Tensor)),
        *((f"pixels {n}", image) for n, image in enumerate(pixels)),
        *((f"output {n}", output) for n, output in enumerate(outputs)),
    ]
    return hashlib.sha256(f"{model!r}\n{_digest(named)}".encode()).hexdigest()


def _probe(width: int, height: int) -> Image.Image:
    """A picture with slopes, edges and fine detail in each channel."""
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
