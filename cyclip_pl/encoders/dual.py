"""An image tower and a text tower, of any open_clip architecture."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclip_pl.checks import did_you_mean
from cyclip_pl.encoders.model_files import check_deviation, check_mean
from cyclip_pl.encoders.pretrained import Pretrained, fill, read_pretrained
from cyclip_pl.encoders.text_length import encode_text, text_length
from cyclip_pl.files import reason
from cyclip_pl.types import Batch, Features
from cyclip_pl.weights import check_finite


class DualEncoder(nn.Module):
    """`Batch` → `Features`: the towers' outputs after open_clip's projections, not normalised.

    The network and its weights are exactly open_clip's, without `logit_scale`, which belongs to the
    objective.

    Args:
        architecture: A name that open_clip knows (`RN50`, `ViT-B-32`, …), or an inline open_clip
            config (`embed_dim`, `vision_cfg`, `text_cfg`).
        image_size: Side of the square input in pixels.
        context_length: Tokens per text, None for the architecture's own.
        pretrained: Weights of that architecture: an open_clip tag; a file, of safetensors by its
            name, of `torch.save` or of TorchScript; a folder or `hf-hub:ORG/NAME`, of open_clip or
            of `transformers`.
        gradient_checkpointing: Recompute activations in the backward pass, to save memory.
        lock_image, lock_text: Freeze a tower (LiT), BatchNorm statistics included.
        patch_dropout: Share of patches dropped in training, for Vision Transformers only.
        channels_last: Memory format of the image tower and its input.
        quick_gelu: OpenAI's approximation of GELU. None for what a tag or folder says, and the
            architecture's own where they do not.
        mean, std: Of the normalisation, three numbers in [0, 1]. None for those of the pretrained
            weights, or OpenAI's.

    Attributes:
        settings: The last three, where pretrained weights decide them.
        pretrained_scale, pretrained_bias: Of the similarities; None without pretrained weights.

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
        quick_gelu: bool | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        # Imported here, because it takes seconds and only a model needs it.
        import open_clip

        name = registered_name(architecture)
        config = open_clip.get_model_config(name)
        if patch_dropout and isinstance(config["vision_cfg"].get("layers"), list):
            raise ValueError(
                f"encoder.patch_dropout={patch_dropout}: {name} is a ResNet, which has no patches;"
                " set encoder.patch_dropout=0"
            )
        begin = Pretrained()
        if pretrained is not None:
            begin = read_pretrained("encoder.pretrained", name, pretrained)
        if quick_gelu is None:
            quick_gelu = begin.quick_gelu
        if quick_gelu is None:
            quick_gelu = config.get("quick_gelu", False)
        preprocess = {"mean": begin.mean if mean is None else mean}
        preprocess["std"] = begin.std if std is None else std
        for key, check in (("mean", check_mean), ("std", check_deviation)):
            if preprocess[key] is not None:
                check(f"encoder.{key}", preprocess[key])
        try:
            with quiet_open_clip():
                self.tokenizer = _tokenizer(name, context_length, json.dumps(config["text_cfg"]))
                self.model = open_clip.create_model(
                    name,
                    pretrained=begin.tag,
                    device=torch.get_default_device(),
                    force_image_size=image_size,
                    force_context_length=context_length,
                    force_patch_dropout=patch_dropout or None,
                    force_preprocess_cfg=preprocess,
                    pretrained_image=False,
                    pretrained_text=begin.state is None,
                    quick_gelu=quick_gelu,
                )
                if begin.state is not None:
                    fill(self.model, begin.state)
        except Exception as error:  # timm, open_clip and unpicklers raise many types
            problem = f"pretrained={pretrained}: does not fit {name}"
            if pretrained is None:
                problem = f"architecture={name}: cannot be built"
            raise ValueError(f"encoder.{problem}: {reason(error)}") from error
        preprocess = {key: list(self.model.visual.preprocess_cfg[key]) for key in ("mean", "std")}
        self.settings: dict[str, Any] = {}
        self.pretrained_scale: float | None = None
        self.pretrained_bias: float | None = None
        bias = getattr(self.model, "logit_bias", None)
        if pretrained is not None:
            check_finite(f"encoder.pretrained={pretrained}", self.model.state_dict())
            self.settings = {"quick_gelu": quick_gelu, **preprocess}
            self.pretrained_scale = self.model.logit_scale.exp().item()
            self.pretrained_bias = None if bias is None else bias.item()
        del self.model.logit_scale
        if bias is not None:
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
        for key, values in preprocess.items():
            pixels = 255 * torch.tensor(values).view(3, 1, 1)
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
        """Tokens (N, L), int64 → (N, F); L may be less than the context's, see `text_length`."""
        return encode_text(self.model, tokens)

    def text_length(self) -> Callable[[Tensor], Tensor]:
        """Tokens (K, L) → how many of each row its features depend on (K,).

        Raises:
            ValueError: The text tower looks at all tokens.
        """
        return text_length(self.model)


@lru_cache(maxsize=8)
def _tokenizer(name: str, context_length: int | None, text_config: str) -> Any:
    """Read its vocabulary once; `text_config` is here because a name can be registered again."""
    import open_clip

    return open_clip.get_tokenizer(name, context_length=context_length)


def _over_views(encode: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
    # A single forward for all views, so that a BatchNorm sees them together.
    return encode(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def registered_name(architecture: str | Mapping[str, Any]) -> str:
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


@contextmanager
def quiet_open_clip() -> Iterator[None]:
    """Silence open_clip, which logs each of its steps to the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
