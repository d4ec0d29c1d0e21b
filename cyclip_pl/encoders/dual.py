"""An image tower and a text tower, of any open_clip architecture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from cyclip_pl.encoders import layers, locking, small_maps
from cyclip_pl.encoders.architectures import (
    Architecture,
    own_weights,
    quiet_open_clip,
    registered_name,
    settled,
    two_towers,
    without_own_weights,
)
from cyclip_pl.encoders.model_files import check_deviation, check_mean
from cyclip_pl.encoders.pretrained import fill, read_pretrained
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
            config (`embed_dim`, `vision_cfg`, `text_cfg`). `hf-hub:ORG/NAME` or `local-dir:FOLDER`
            is a network with its weights.
        image_size: Side of the square input in pixels, None for the architecture's own.
        context_length: Tokens per text, None for the architecture's own.
        pretrained: Weights of that architecture: an open_clip tag; a file, of safetensors by its
            name, of `torch.save` or of TorchScript; a folder or `hf-hub:ORG/NAME`, of open_clip or
            of `transformers`. None for what the architecture says: an inline config may ask for
            timm's weights (`timm_model_pretrained`), and a text tower of Hugging Face begins with
            its own unless the config says otherwise (`hf_model_pretrained`).
        gradient_checkpointing: Recompute activations in the backward pass, to save memory.
        lock_image, lock_text: Freeze a tower (LiT), BatchNorm statistics included.
        lock_image_unlocked_groups, lock_text_unlocked_layers: Of a frozen tower, how many of its
            last layers still learn, 1 or more; None: none.
        patch_dropout: Share of patches dropped in training, for Vision Transformers only.
        channels_last: Memory format of the image tower and its input.
        quick_gelu: OpenAI's approximation of GELU. None for what a tag or folder says, and the
            architecture's own where they do not.
        mean, std: Of the normalisation, three numbers in [0, 1]. None for those of the pretrained
            weights, or OpenAI's.

    Attributes:
        settings: Of the arguments, those that a folder or pretrained weights decide, as a
            checkpoint keeps them.
        pretrained_scale, pretrained_bias: Of the similarities; None without pretrained weights.

    Raises:
        ValueError: An unknown architecture, tag or file; weights that do not fit; patch dropout
            without patches.
    """

    def __init__(
        self,
        architecture: Architecture,
        image_size: int | None = None,
        context_length: int | None = None,
        pretrained: str | None = None,
        gradient_checkpointing: bool = False,
        lock_image: bool = False,
        lock_text: bool = False,
        lock_image_unlocked_groups: int | None = None,
        lock_text_unlocked_layers: int | None = None,
        patch_dropout: float = 0.0,
        channels_last: bool = True,
        quick_gelu: bool | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for what, count, locked in (
            ("image_unlocked_groups", lock_image_unlocked_groups, lock_image),
            ("text_unlocked_layers", lock_text_unlocked_layers, lock_text),
        ):
            lock = f"encoder.lock_{what.partition('_')[0]}"
            locking.check_locked(f"encoder.lock_{what}", count, lock, locked)
        # Imported here, because it takes seconds and only a model needs it.
        import open_clip

        given = {"architecture": architecture, "image_size": image_size, "pretrained": pretrained}
        decided = settled(given)
        architecture, image_size, pretrained = (given | decided).values()
        name = built = registered_name(architecture)
        config = open_clip.get_model_config(name)
        if "multimodal_cfg" in config:
            config = two_towers(config)
            built = registered_name(config)
        if patch_dropout and isinstance(config["vision_cfg"].get("layers"), list):
            raise ValueError(
                f"encoder.patch_dropout={patch_dropout}: {name} is a ResNet, which has no patches;"
                " set encoder.patch_dropout=0"
            )
        begin = None
        if pretrained is not None:
            begin = read_pretrained("encoder.pretrained", name, pretrained)
        if quick_gelu is None and begin is not None:
            quick_gelu = begin.quick_gelu
        if quick_gelu is None:
            quick_gelu = config.get("quick_gelu", False)
        preprocess = {**(begin.preprocess if begin else {}), "size": image_size}
        preprocess |= {k: v for k, v in (("mean", mean), ("std", std)) if v is not None}
        for key, check in (("mean", check_mean), ("std", check_deviation)):
            if key in preprocess:
                check(f"encoder.{key}", preprocess[key])
        # timm makes its towers for the size of their name, and resizes them.
        is_timm = bool(config["vision_cfg"].get("timm_model_name"))
        begins_alone = {"pretrained_image": False, "pretrained_text": False}
        try:
            with quiet_open_clip():
                self.tokenizer = _tokenizer(built, context_length, json.dumps(config["text_cfg"]))
                self.model = open_clip.create_model(
                    built,
                    device=torch.get_default_device(),
                    force_image_size=None if is_timm else image_size,
                    force_context_length=context_length,
                    force_patch_dropout=patch_dropout or None,
                    force_preprocess_cfg=preprocess,
                    quick_gelu=quick_gelu,
                    **begins_alone | (own_weights(config) if begin is None else {}),
                )
                if begin is not None:
                    fill(self.model, begin.state)
                if is_timm:
                    self.model.visual.set_input_size(image_size)
        except Exception as error:  # timm, open_clip and unpicklers raise many types
            problem = f"pretrained={pretrained}: does not fit {name}"
            if pretrained is None:
                problem = f"architecture={name}: cannot be built"
            needs = [config["text_cfg"].get(f"hf_{part}_name") for part in ("tokenizer", "model")]
            fetched = " and ".join(sorted({one for one in needs if one}))
            needed = f"; it needs {fetched} of Hugging Face" if fetched else ""
            raise ValueError(f"encoder.{problem}: {reason(error)}{needed}") from error
        pixels = {key: list(self.model.visual.preprocess_cfg[key]) for key in ("mean", "std")}
        self.settings: dict[str, Any] = decided
        if (kept := without_own_weights(architecture)) is not architecture:
            self.settings["architecture"] = kept
        self.pretrained_scale: float | None = None
        self.pretrained_bias: float | None = None
        bias = getattr(self.model, "logit_bias", None)
        if pretrained is not None:
            check_finite(f"encoder.pretrained={pretrained}", self.model.state_dict())
            self.settings |= {"quick_gelu": quick_gelu, **pixels}
            self.pretrained_scale = self.model.logit_scale.exp().item()
            self.pretrained_bias = None if bias is None else bias.item()
        del self.model.logit_scale
        if bias is not None:
            del self.model.logit_bias
        if gradient_checkpointing:
            self.model.set_grad_checkpointing()
        if lock_image:
            locking.lock_image(self.model, lock_image_unlocked_groups)
        if lock_text:
            locking.lock_text(self.model, lock_text_unlocked_layers)
        small_maps.use(self.model.visual)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model.visual.to(memory_format=self.memory_format)

        # open_clip's config of the network as it is built here.
        self.config: dict[str, Any] = config
        config["vision_cfg"]["image_size"] = image_size
        if context_length is not None:
            config["text_cfg"]["context_length"] = context_length
        self.image_size = image_size
        self.embed_dim: int = config["embed_dim"]
        for key, values in pixels.items():
            self.register_buffer(key, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)
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

    def layers(self) -> dict[str, list[list[str]]]:
        """Names of the parameters of `image` and `text`, a list per layer, the input's first."""
        return {
            tower: [[f"model.{name}" for name in names] for names in of.in_order]
            for tower, of in layers.tower_layers(self.model).items()
        }

    def hidden_matrices(self) -> set[str]:
        """Names of the weights of linear maps within blocks, which Muon makes orthogonal."""
        return {f"model.{name}" for name in layers.hidden_matrices(self.model)}

    def convolutions(self) -> dict[str, int]:
        """Weights of convolutions of features, not in groups, and the most channels of each."""
        return {f"model.{name}": most for name, most in layers.convolutions(self.model).items()}


@lru_cache(maxsize=8)
def _tokenizer(name: str, context_length: int | None, text_config: str) -> Any:
    """Read its vocabulary once; `text_config` is here because a name can be registered again."""
    import open_clip

    return open_clip.get_tokenizer(name, context_length=context_length)


def _over_views(encode: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
    # A single forward for all views, so that a BatchNorm sees them together.
    return encode(views.flatten(0, 1)).unflatten(0, views.shape[:2])
