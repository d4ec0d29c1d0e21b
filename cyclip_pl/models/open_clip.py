"""Models that were not trained here: any of open_clip's, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from cyclip_pl.encoders.dual import quiet_open_clip


class OpenCLIPModel(nn.Module):
    """A network of open_clip behind the `Model` protocol, with its own preprocessing.

    Args:
        network: An `open_clip.CLIP` or one of its kind.
        tokenizer: Strings -> int64 tokens.
    """

    def __init__(self, network: Any, tokenizer: Callable[[Sequence[str]], Tensor]) -> None:
        super().__init__()
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.network = network
        self.tokenizer = tokenizer
        self.scale: float = network.logit_scale.exp().item()
        transform = image_transform_v2(
            PreprocessCfg(**network.visual.preprocess_cfg), is_train=False
        )
        # PIL image → float (3, H, W), normalised. RGB first, as clip_benchmark does: Pillow resizes
        # the colours of a palette without a filter.
        transform.transforms.insert(0, _rgb)
        self.preprocess: Callable[[Any], Tensor] = transform

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode_image(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) → unit-norm (N, D)."""
        return self.encode_image_and_features(images)[0]

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode_image`, and the same before it is normalised (N, D)."""
        features = self.network.encode_image(images.to(self.device), normalize=False)
        return normalize(features, dim=-1), features

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        """Strings, or tokens (N, L) → unit-norm (N, D)."""
        tokens = texts if isinstance(texts, Tensor) else self.tokenizer(list(texts))
        return normalize(self.network.encode_text(tokens.to(self.device), normalize=False), dim=-1)


def _rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def load_open_clip(name: str, pretrained: str, device: torch.device | str = "cpu") -> OpenCLIPModel:
    """A pretrained model of open_clip, in evaluation mode and float32.

    A tag that was trained with QuickGELU gets it, whether or not the name says `-quickgelu`; of a
    file only the name can say. Files are read without unpickling.

    Args:
        name: An architecture of open_clip, `ViT-B-32`.
        pretrained: A tag of that architecture, `laion2b_s34b_b79k`, fetched from Hugging Face or
            found in its cache; or a file.
        device: Where to put the model.

    Raises:
        ValueError: One line: no such name, tag or file, weights that cannot be had or do not fit.
    """
    import open_clip

    name, pretrained = str(name).replace("/", "-"), str(pretrained)
    if name not in open_clip.list_models():
        close = get_close_matches(name, open_clip.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(f"model.name={name}: open_clip has no such architecture{hint}")
    setting = f"model.pretrained={pretrained}"
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    if not tag and not Path(pretrained).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(f"{setting} is neither a file nor a tag of {name} (tags: {tags})")
    with quiet_open_clip():
        try:
            if tag:
                open_clip.download_pretrained(tag)
        except Exception as error:  # whatever the clients of the servers raise
            raise ValueError(
                f"{setting}: the weights of {name} are not on this machine and cannot be fetched; "
                f"give a file ({_first(error)})"
            ) from error
        try:
            network = open_clip.create_model(
                name,
                pretrained,
                force_quick_gelu=bool(tag.get("quick_gelu")),
                require_pretrained=True,
            )
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # whatever timm, open_clip or an unpickler raises
            raise ValueError(f"{setting} does not make a {name}: {_first(error)}") from error
    return OpenCLIPModel(network, tokenizer).to(device).eval()


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
