"""Any model of open_clip, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.encoders.dual import check_architecture, check_pretrained, quiet_open_clip
from cyclip_pl.files import reason
from cyclip_pl.images import check_size
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.weights import check_finite

_LONGEST_SIDE_RATIO = 16


class OpenCLIPModel(ImageTextModel):
    """A network of open_clip with its own preprocessing, which gives normalised floats.

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
        preprocessing = PreprocessCfg(**network.visual.preprocess_cfg)
        transform = image_transform_v2(preprocessing, is_train=False)
        # RGB first, as clip_benchmark does: Pillow resizes a palette image without a filter.
        transform.transforms.insert(0, methodcaller("convert", "RGB"))
        transform.transforms.insert(0, _bounded)
        self.preprocess = transform

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-norm rows (N, D), and the same before they are normalised."""
        features = self.network.encode_image(images.to(self.device), normalize=False)
        return normalize(features, dim=-1), features

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        return normalize(self.network.encode_text(tokens, normalize=False), dim=-1)


def _bounded(image: Image.Image) -> Image.Image:
    """Refuse too many pixels, and cut the ends of a strip, which the crop would throw away.

    The shorter side is enlarged: a strip one pixel high would take gigabytes.
    """
    width, height = image.size
    check_size(width, height)
    longest = _LONGEST_SIDE_RATIO * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return image.crop((left, top, width - left, height - top)) if left or top else image


def load_open_clip(name: str, pretrained: str, device: torch.device | str = "cpu") -> OpenCLIPModel:
    """Load a pretrained model of open_clip, in evaluation mode and float32.

    A tag that was trained with QuickGELU gets it, with or without `-quickgelu` in the name. For a
    file, only the name can say so. Files are read without unpickling.

    Args:
        name: An architecture of open_clip, such as `ViT-B-32`.
        pretrained: A tag of that architecture, such as `laion2b_s34b_b79k`, fetched from Hugging
            Face unless it is in the cache; or a file.
        device: Where to put the model.

    Raises:
        ValueError: An unknown name, tag or file; weights that cannot be fetched or do not fit.
    """
    import open_clip

    name, pretrained = str(name).replace("/", "-"), str(pretrained)
    check_architecture("model.name", name)
    check_pretrained("model.pretrained", name, pretrained)
    setting = f"model.pretrained={pretrained}"
    tag = open_clip.get_pretrained_cfg(name, pretrained)
    with quiet_open_clip():
        try:
            if tag:
                open_clip.download_pretrained(tag)
        except Exception as error:  # the servers' clients raise many types
            raise ValueError(
                f"{setting}: the weights of {name} are not on this machine and cannot be fetched"
                f" ({reason(error)}); give a file"
            ) from error
        try:
            gelu = bool(tag.get("quick_gelu"))
            network = open_clip.create_model(
                name, pretrained, force_quick_gelu=gelu, require_pretrained=True
            )
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # timm, open_clip and unpicklers raise many types
            raise ValueError(f"{setting}: does not fit {name}: {reason(error)}") from error
    check_finite(setting, network.state_dict())
    config = open_clip.get_model_config(name)
    return OpenCLIPModel(network, tokenizer, config).to(device).eval()
