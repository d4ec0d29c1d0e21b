"""Any model of open_clip, for evaluation."""

from __future__ import annotations

import torch

from cyclip_pl.encoders.architectures import check_architecture, quiet_open_clip
from cyclip_pl.encoders.pretrained import fill, read_pretrained
from cyclip_pl.files import reason
from cyclip_pl.model_folder import is_model_folder
from cyclip_pl.models.open_clip_folder import load_open_clip_folder
from cyclip_pl.models.open_clip_model import OpenCLIPModel
from cyclip_pl.weights import check_finite


def load_open_clip(
    name: str,
    pretrained: str | None = None,
    device: torch.device | str = "cpu",
    trust: bool = False,
) -> OpenCLIPModel:
    """Load a pretrained model of open_clip, in evaluation mode and float32.

    A tag that was trained with QuickGELU gets it, with or without `-quickgelu` in the name. For a
    file, only the name can say so. Files are read without unpickling.

    Args:
        name: An architecture of open_clip, such as `ViT-B-32`; or a folder or `hf-hub:ORG/NAME`
            with its weights, see `load_open_clip_folder`.
        pretrained: A tag of that architecture, such as `laion2b_s34b_b79k`, fetched from Hugging
            Face unless it is in the cache; or a file or a folder, see `encoder.pretrained`.
        device: Where to put the model.
        trust: Of a folder, see `load_open_clip_folder`.

    Raises:
        ValueError: An unknown name, tag or file; weights that cannot be fetched or do not fit.
    """
    import open_clip

    name = str(name)
    if is_model_folder(name):
        if pretrained is not None:
            raise ValueError(
                f"model.pretrained={pretrained}: model.name={name} has its weights with it; leave"
                " one of the two out"
            )
        return load_open_clip_folder(name, device, trust)
    name = name.replace("/", "-")
    check_architecture("model.name", name)
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(f"model.pretrained=null: give a tag of {name} ({tags}) or a file")
    pretrained = str(pretrained)
    setting = f"model.pretrained={pretrained}"
    found = read_pretrained("model.pretrained", name, pretrained)
    with quiet_open_clip():
        try:
            network = open_clip.create_model(
                name,
                force_quick_gelu=bool(found.quick_gelu),
                force_preprocess_cfg=found.preprocess,
                pretrained_image=False,
                pretrained_text=False,
            )
            fill(network, found.state)
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # timm, open_clip and unpicklers raise many types
            raise ValueError(f"{setting}: does not fit {name}: {reason(error)}") from error
    check_finite(setting, network.state_dict())
    config = open_clip.get_model_config(name)
    return OpenCLIPModel(network, tokenizer, config).to(device).eval()
