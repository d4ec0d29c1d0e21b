"""Every objective's whole module, on small towers, in float64."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.types import Batch
from tests.helpers.architectures import RESNET, TIMM, VIT
from tests.helpers.composed import composed

ARCHITECTURES = {"vit": VIT, "resnet": RESNET, "timm": TIMM}


@cache
def _config(name: str) -> DictConfig:
    return composed(
        f"objective={name}", "heads.clusters=16", "heads.width=8", "heads.augmentation=8"
    )


@cache
def _built(architecture: str, settings: tuple[tuple[str, object], ...]) -> DualEncoder:
    torch.manual_seed(0)
    encoder = DualEncoder(ARCHITECTURES[architecture], image_size=32, **dict(settings))
    del encoder.tokenizer  # slow to copy
    return encoder


def small_module(
    name: str = "cyclip", architecture: str = "vit", microbatch: int | None = None, **settings
) -> ContrastiveModule:
    """The objective with the projector of its YAML; settings are the encoder's."""
    config = _config(name)
    encoder = deepcopy(_built(architecture, tuple(settings.items())))
    torch.manual_seed(0)
    return ContrastiveModule(
        encoder,
        instantiate(config.projector)(features=encoder.embed_dim),
        instantiate(config.objective),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
        microbatch=microbatch,
    ).double()


def small_batch(name: str = "cyclip", n: int = 12) -> Batch:
    """Of the views of the objective's YAML."""
    views = instantiate(_config(name).views)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (views.image_views, n, 3, 32, 32), generator=generator)
    texts = torch.randint(1, 400, (views.text_views, n, 8), generator=generator)
    texts[..., -1] = 49407
    shape = (views.image_views, n, views.parameters)
    augmentation = torch.rand(shape, generator=generator, dtype=torch.float64)
    return Batch(images.to(torch.uint8), texts, augmentation if views.parameters else None)
