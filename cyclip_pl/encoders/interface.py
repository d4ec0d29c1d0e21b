"""What every encoder has, one of a user's own package as well."""

from __future__ import annotations

from torch import nn

PARTS = ("embed_dim", "image_size", "tokenizer", "encode_image", "encode_text")


def check_interface(encoder: object) -> None:
    """Raise ValueError, one line, for an encoder that training and evaluation cannot use.

    It is an `nn.Module` from `Batch` to `Features` with the attributes `embed_dim` (width of its
    features), `image_size` (side of its square input in pixels) and `tokenizer` (strings → int64
    tokens (N, L)), and with the methods `encode_image` (uint8 or normalised images (N, 3, H, W) →
    (N, F)) and `encode_text` (tokens (N, L) → (N, F)).
    """
    where = f"encoder._target_={type(encoder).__module__}.{type(encoder).__qualname__}"
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{where}: is not a torch.nn.Module")
    missing = [name for name in PARTS if not hasattr(encoder, name)]
    if missing:
        raise ValueError(f"{where}: has no {', '.join(missing)}; see docs/extending.md")
