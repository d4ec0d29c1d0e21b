"""Whether an exported model computes what the model itself computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cyclip_pl.models.base import ImageTextModel

# Length of the difference of two rows of unit norm. Rounding gives about 1e-6; a wrong layer,
# another resize or another tokenizer gives more than 1e-2.
TOLERANCE = 1e-4
TEXTS = ("a photo of a cat", "Zwei rote Äpfel & <b>1 café</b>, 2026!", "a very long text, " * 40)


def image_size(model: ImageTextModel) -> int:
    """Side of the images that a model takes, in pixels."""
    return model.preprocess(Image.new("RGB", (8, 8))).shape[-1]


def images(model: ImageTextModel) -> list[Image.Image]:
    """Three RGB images of random blocks that the model's `preprocess` has to resize and crop."""
    size = image_size(model)
    generator = np.random.default_rng(0)
    found = []
    for width, height in ((2 * size + 3, size + 5), (size, 2 * size + 1), (size // 2 + 1, size)):
        blocks = Image.fromarray(generator.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        found.append(blocks.resize((width, height), Image.Resampling.BILINEAR))
    return found


def pixels(model: ImageTextModel) -> Tensor:
    """The images as the model's `preprocess` gives them, (3, 3, size, size)."""
    return torch.stack([model.preprocess(image) for image in images(model)])


@torch.inference_mode()
def check_rows(
    format: str,
    model: ImageTextModel,
    encode_images: Callable[[Sequence[Image.Image]], Tensor],
    encode_texts: Callable[[Sequence[str]], Tensor],
) -> None:
    """Compare an exported model's rows of a few images and texts with the model's own.

    Args:
        format: What was exported, for the error.
        encode_images: PIL images → unit-norm rows (N, D) of the exported model.
        encode_texts: Texts → unit-norm rows (N, D) of the exported model.

    Raises:
        ValueError: They differ by more than rounding.
    """
    pairs = {
        "images": (model.encode_image(pixels(model)), encode_images(images(model))),
        "texts": (model.encode_text(list(TEXTS)), encode_texts(TEXTS)),
    }
    for what, (expected, found) in pairs.items():
        check(format, what, expected, found)


def check(format: str, what: str, expected: Tensor, found: Tensor) -> None:
    """Raise ValueError unless rows of unit norm (N, D) are the same up to rounding."""
    apart = float("inf")
    if expected.shape == found.shape:
        apart = (
            torch.linalg.norm(expected.cpu().double() - found.cpu().double(), dim=-1).max().item()
        )
    if not apart <= TOLERANCE:  # NaN is not
        raise ValueError(
            f"format={format}: the exported model's embeddings of {what} differ from the model's"
            f" own by {apart:.1e} (at most {TOLERANCE:g}), so nothing was written"
        )


@torch.inference_mode()
def check_graph(
    format: str, what: str, tower: nn.Module, example: Tensor, run: Callable[[Tensor], Tensor]
) -> None:
    """Compare an exported graph with its tower for batches of one, three and six rows.

    Args:
        what: `images` or `texts`, for the error.
        example: Input of three rows.
        run: Input → unit-norm rows of the exported graph.
    """
    for rows in (example[:1], example, example.repeat(2, *[1] * (example.ndim - 1))):
        check(format, what, tower(rows), run(rows))
