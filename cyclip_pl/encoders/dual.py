"""An image tower and a text tower, of any open_clip architecture."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclip_pl.checks import did_you_mean
from cyclip_pl.files import reason
from cyclip_pl.types import Batch, Features
from cyclip_pl.weights import check_file, check_finite


class DualEncoder(nn.Module):
    """`Batch` → `Features`: the towers' outputs after open_clip's projections, not normalised.

    The network and its weights are exactly open_clip's, without `logit_scale`, which belongs to the
    objective.

    Args:
        architecture: A name that open_clip knows (`RN50`, `ViT-B-32`, …), or an inline open_clip
            config (`embed_dim`, `vision_cfg`, `text_cfg`).
        image_size: Side of the square input in pixels.
        context_length: Tokens per text, None for the architecture's own.
        pretrained: An open_clip tag of that architecture, or a file: safetensors by its name,
            or of `torch.save`.
        gradient_checkpointing: Recompute activations in the backward pass, to save memory.
        lock_image, lock_text: Freeze a tower (LiT), BatchNorm statistics included.
        patch_dropout: Share of patches dropped in training, for Vision Transformers only.
        channels_last: Memory format of the image tower and its input.

    Raises:
        ValueError: An unknown architecture, tag or file; weights that do not fit; patch dropout
            without patches.
    """

    def __init__(
        self,
        architecture: str | Mapping[str, Any],
        image_size: int,
        context_length: int | None = None,
        pretrained: str | None = None,
        gradient_checkpointing: bool = False,
        lock_image: bool = False,
        lock_text: bool = False,
        patch_dropout: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        # Imported here, because it takes seconds and only a model needs it.
        import open_clip

        name = _registered_name(architecture)
        config = open_clip.get_model_config(name)
        if patch_dropout and isinstance(config["vision_cfg"].get("layers"), list):
            raise ValueError(
                f"encoder.patch_dropout={patch_dropout}: {name} is a ResNet, which has no patches;"
                " set encoder.patch_dropout=0"
            )
        if pretrained is not None:
            check_pretrained("encoder.pretrained", name, pretrained)
        try:
            with quiet_open_clip():
                self.tokenizer = open_clip.get_tokenizer(name, context_length=context_length)
                self.model = open_clip.create_model(
                    name,
                    pretrained=pretrained,
                    device=torch.get_default_device(),
                    force_image_size=image_size,
                    force_context_length=context_length,
                    force_patch_dropout=patch_dropout or None,
                    pretrained_image=False,
                )
        except Exception as error:  # timm, open_clip and unpicklers raise many types
            problem = f"pretrained={pretrained}: does not fit {name}"
            if pretrained is None:
                problem = f"architecture={name}: cannot be built"
            raise ValueError(f"encoder.{problem}: {reason(error)}") from error
        if pretrained is not None:
            check_finite(f"encoder.pretrained={pretrained}", self.model.state_dict())
        del self.model.logit_scale
        if getattr(self.model, "logit_bias", None) is not None:
            del self.model.logit_bias
        if gradient_checkpointing:
            self.model.set_grad_checkpointing()
        if lock_image:
            self.model.lock_image_tower(freeze_bn_stats=True)
        if lock_text:
            self.model.lock_text_tower()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model.visual.to(memory_format=self.memory_format)

        # open_clip's config of the network as it is built here.
        self.config: dict[str, Any] = config
        config["vision_cfg"]["image_size"] = image_size
        if context_length is not None:
            config["text_cfg"]["context_length"] = context_length
        self.image_size = image_size
        self.embed_dim: int = config["embed_dim"]
        for key in ("mean", "std"):
            pixels = 255 * torch.tensor(self.model.visual.preprocess_cfg[key]).view(3, 1, 1)
            self.register_buffer(key, pixels, persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, batch: Batch) -> Features:
        """Images (V, N, 3, H, W) and tokens (U, N, L) → features (V, N, F) and (U, N, F)."""
        return Features(
            image=_over_views(self.encode_image, batch.images),
            text=_over_views(self.encode_text, batch.texts),
        )

    def encode_image(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) → (N, F); uint8 is normalised here, floats are normalised already."""
        if images.dtype == torch.uint8:
            images = (images - self.mean) / self.std
        return self.model.encode_image(images.contiguous(memory_format=self.memory_format))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L), int64 → (N, F)."""
        return self.model.encode_text(tokens)


def _over_views(encode: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
    # A single forward for all views, so that a BatchNorm sees them together.
    return encode(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def _registered_name(architecture: str | Mapping[str, Any]) -> str:
    """A name that open_clip knows; an inline config is registered under its hash."""
    import open_clip

    if isinstance(architecture, str):
        check_architecture("encoder.architecture", architecture)
        return architecture
    config = deepcopy(dict(architecture))
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - config.keys()
    if missing:
        raise ValueError(
            f"encoder.architecture: an inline config also needs {', '.join(sorted(missing))}"
        )
    text = json.dumps(config, sort_keys=True)
    name = f"inline-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.json"
            path.write_text(text)
            open_clip.add_model_config(path)
    return name


def check_architecture(setting: str, name: str) -> None:
    """Raise ValueError unless open_clip knows the architecture."""
    import open_clip

    known = open_clip.list_models()
    if name not in known:
        hint = did_you_mean(name, known)
        raise ValueError(f"{setting}={name}: open_clip has no such architecture{hint}")


def check_pretrained(setting: str, name: str, pretrained: str) -> None:
    """Raise ValueError unless `pretrained` is a tag of `name`, or a file that is safe to load."""
    import open_clip

    if open_clip.get_pretrained_cfg(name, pretrained):
        return
    if Path(pretrained).is_file():
        check_file(f"{setting}={pretrained}", Path(pretrained))
    else:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(
            f"{setting}={pretrained}: not a file, and not a tag of {name} (tags: {tags})"
        )


@contextmanager
def quiet_open_clip() -> Iterator[None]:
    """Silence open_clip, which logs each of its steps to the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
