"""What every encoder has, one of a user's own package as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

PARTS = ("embed_dim", "image_size", "tokenizer", "encode_image", "encode_text")


def check_interface(encoder: object) -> None:
    """Raise ValueError, one line, for an encoder that training and evaluation cannot use.

    It is an `nn.Module` from `Batch` to `Features` with the attributes `embed_dim` (width of its
    features), `image_size` (side of its square input in pixels) and `tokenizer` (strings → int64
    tokens (N, L)), and with the methods `encode_image` (uint8 or normalised images (N, 3, H, W) →
    (N, F)) and `encode_text` (tokens (N, L) → (N, F)).
    """
    where = _where(encoder)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{where}: is not a torch.nn.Module")
    missing = [name for name in PARTS if not hasattr(encoder, name)]
    if missing:
        raise ValueError(f"{where}: has no {', '.join(missing)}; see docs/extending.md")


def text_length_of(encoder: Any) -> Callable[[Tensor], Tensor]:
    """Tokens (K, L) → how many of each row its features depend on (K,); picklable.

    Such an encoder has a method `text_length`, and its `encode_text` takes shorter rows.

    Raises:
        ValueError: It has not, or its text tower looks at all tokens.
    """
    if not hasattr(encoder, "text_length"):
        raise ValueError(
            f"data.text=variable: {_where(encoder)} has no text_length and may look at all tokens;"
            " set data.text=fixed, or see docs/extending.md"
        )
    try:
        text_length = encoder.text_length()
        tokens_1L = encoder.tokenizer(["a"])
        if text_length(tokens_1L) == tokens_1L.shape[1]:
            raise ValueError("the tokenizer does not pad texts at their end")
    except ValueError as error:
        raise ValueError(f"data.text=variable: {error}; set data.text=fixed") from error
    return text_length


def _where(encoder: object) -> str:
    return f"encoder._target_={type(encoder).__module__}.{type(encoder).__qualname__}"
