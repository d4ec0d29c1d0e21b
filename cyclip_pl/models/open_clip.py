"""Any model of open_clip, for evaluation."""

from __future__ import annotations

import torch

from cyclip_pl.encoders.dual import check_architecture, check_pretrained, quiet_open_clip
from cyclip_pl.files import reason
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.weights import check_finite


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
    return OpenCLIPModel(network, tokenizer).to(device).eval()
