"""An image head that takes the augmentation parameters of its view."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.projectors.base import Projector


class AugmentationAware(Projector):
    """UniCLIP's heads (Lee et al., arXiv 2209.13430, section 3.1).

    An MLP of three layers turns the augmentation parameters of an image view into a code. The image
    head is a chain of residual blocks that take the code, and a linear map. Text is not augmented:
    its head is a linear map alone. Without parameters, as in evaluations, the view counts as not
    augmented: all parameters are zero.

    That the image head takes the parameters is the paper's. The three layers, the three blocks,
    their form, their start as the identity and all widths are *our choice*.

    Args:
        features: Width F of the encoder's features.
        dim: Width D of the embeddings, None for F.
        width: Width of the code and of the hidden layers, 1 or more.
        blocks: Number of residual blocks, 1 or more.
        parameters: P, as the views report it.
    """

    def __init__(
        self, features: int, dim: int | None, width: int, blocks: int, parameters: int
    ) -> None:
        super().__init__(features)
        dim = features if dim is None else dim
        numbers = {"dim": dim, "width": width, "blocks": blocks, "parameters": parameters}
        for name, value in numbers.items():
            checks.whole(f"projector.{name}", value)
        self.parameters_read = parameters
        self.code = nn.Sequential(
            nn.Linear(parameters, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.blocks = nn.ModuleList(_Block(features, width) for _ in range(blocks))
        self.image = nn.Linear(features, dim, bias=False)
        self.text = nn.Linear(features, dim, bias=False)

    @property
    def embed_dim(self) -> int:
        return self.image.out_features

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        if augmentation is None:
            augmentation = features.new_zeros(*features.shape[:-1], self.parameters_read)
        code = self.code(augmentation)
        for block in self.blocks:
            features = block(features, code)
        return self.image(features)

    def text_head(self, features: Tensor) -> Tensor:
        return self.text(features)


class _Block(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.enter = nn.Linear(features + width, width)
        self.leave = nn.Linear(width, features)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        seen = torch.cat([self.norm(features), code.to(features.dtype)], dim=-1)
        return features + self.leave(nn.functional.gelu(self.enter(seen)))
