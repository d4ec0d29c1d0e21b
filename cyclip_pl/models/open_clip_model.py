"""A network of open_clip as evaluations and users see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from cyclip_pl.images import check_size
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.preprocess import Preprocess
from cyclip_pl.projectors.base import unit

_LONGEST_SIDE_RATIO = 16


class OpenCLIPModel(ImageTextModel):
    """A network of open_clip with its own preprocessing, which gives normalised floats.

    It normalises uint8 images itself.

    Args:
        network: An `open_clip.CLIP`, or a class with the same methods.
        tokenizer: Strings → int64 tokens (N, L).
        config: open_clip's config of the network, which exports need.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Callable[[Sequence[str]], Tensor],
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.network = network
        self.config = config
        self.tokenizer = tokenizer
        self.scale = network.logit_scale.exp().item()
        bias = getattr(network, "logit_bias", None)
        self.bias = None if bias is None else bias.item()
        self.embed_dim = _width(network)
        size = network.visual.image_size
        self.image_size = size[0] if isinstance(size, tuple) and size[0] == size[1] else size
        preprocessing = PreprocessCfg(**network.visual.preprocess_cfg)
        transform = image_transform_v2(preprocessing, is_train=False)
        # RGB first, as clip_benchmark does: Pillow resizes a palette image without a filter.
        transform.transforms.insert(0, methodcaller("convert", "RGB"))
        transform.transforms.insert(0, _bounded)
        self.preprocess = Preprocess(transform)
        for key in ("mean", "std"):
            pixels = 255 * torch.tensor(getattr(preprocessing, key)).view(3, 1, 1)
            self.register_buffer(key, pixels, persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-norm rows (N, D), and the same before they are normalised."""
        images = self.placed(images)
        if images.dtype == torch.uint8:
            images = (images - self.mean) / self.std
        features = self.network.encode_image(images, normalize=False)
        return unit(features), features

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        return unit(self.network.encode_text(tokens, normalize=False))


def _width(network: Any) -> int:
    """Of the rows that the text tower gives."""
    if hasattr(network, "text"):
        return network.text.output_dim
    projection = network.text_projection
    if projection is None:
        return network.ln_final.weight.shape[0]
    return projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1]


def _bounded(image: Image.Image) -> Image.Image:
    """Refuse too many pixels, and cut the ends of a strip, which the crop would throw away.

    The shorter side is enlarged: a strip one pixel high would take gigabytes.
    """
    width, height = image.size
    check_size(width, height)
    longest = _LONGEST_SIDE_RATIO * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return image.crop((left, top, width - left, height - top)) if left or top else image
