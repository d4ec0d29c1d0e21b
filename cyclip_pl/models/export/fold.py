"""Fold a projector's linear heads into the last layers of open_clip's towers."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.projectors.base import Projector

# The last layers of towers. These weights are used as x @ W …
_TIMES = ("visual.proj", "text_projection", "text.text_projection")
# … and these are of `nn.Linear`: open_clip's ResNets, timm's and transformers' networks.
_LAYERS = (
    "visual.attnpool.c_proj",
    "visual.head.proj",
    "visual.head.mlp.fc2",
    "visual.head.pool.proj",
    "text_projection",
    "text.text_projection",
    "text.proj",
    "text.proj.2",
)


def linear_heads(projector: Projector) -> tuple[Tensor, Tensor]:
    """The matrices (D, F), float64, of the image head and of the text head.

    The image head is that of an image that was not augmented, as evaluations use it.

    Raises:
        ValueError: A head is not linear, or evaluations see something else than its output.
    """
    device = next((p.device for p in projector.parameters()), torch.device("cpu"))
    wide = deepcopy(projector).double().eval()
    image = _matrix(lambda x: wide.image_head(x, None), wide.project_image, wide.features, device)
    text = _matrix(wide.text_head, wide.project_text, wide.features, device)
    for modality, matrix in (("image", image), ("text", text)):
        if matrix is None:
            raise ValueError(
                f"its projector ({type(projector).__name__}) is not linear for {modality}s"
            )
    assert image is not None and text is not None
    return image, text


def folded(weights: dict[str, Tensor], tower: str, matrix: Tensor) -> dict[str, Tensor]:
    """The weights of an open_clip network with `matrix` (D, F) after its `image` or `text` tower.

    Raises:
        ValueError: The tower does not end in a linear layer that could take it.
    """
    start = {"image": "visual.", "text": "text"}[tower]
    new = dict(weights)
    for name in _TIMES:
        if name in weights and name.startswith(start):
            new[name] = (weights[name].double() @ matrix.T).to(weights[name].dtype)
            return new
    for layer in _LAYERS:
        names = [f"{layer}.{part}" for part in ("weight", "bias") if f"{layer}.{part}" in weights]
        if names and layer.startswith(start):
            for name in names:
                new[name] = (matrix @ weights[name].double()).to(weights[name].dtype)
            return new
    raise ValueError(f"its {tower} tower does not end in a linear layer that takes the projector")


@torch.no_grad()
def _matrix(
    head: Callable[[Tensor], Tensor],
    project: Callable[[Tensor], Tensor],
    features: int,
    device: torch.device,
) -> Tensor | None:
    """W, if head(x) = W x and evaluations see W x as a row of unit norm; else None."""
    matrix = head(torch.eye(features, dtype=torch.float64, device=device)).T
    generator = torch.Generator().manual_seed(0)
    # Rows of very different norms: a non-linearity shows at one of them.
    size = torch.logspace(-3, 3, 14, dtype=torch.float64)[:, None]
    x = (size * torch.randn(14, features, dtype=torch.float64, generator=generator)).to(device)
    expected, seen = x @ matrix.T, head(x)
    close = torch.linalg.norm(seen - expected, dim=-1) <= 1e-9 * torch.linalg.norm(expected, dim=-1)
    if not close.all():
        return None
    rows, unit = project(x), normalize(expected, dim=-1)
    same = rows.shape == unit.shape and torch.allclose(rows, unit, rtol=0, atol=1e-9)
    return matrix if same else None
