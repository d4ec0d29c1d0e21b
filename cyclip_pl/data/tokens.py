"""Captions → tokens, cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Tokenizer = Callable[[list[str]], Tensor]

_CACHED = 32_768


class CachedTokenizer:
    """A tokenizer that caches the tokens of the latest captions.

    Args:
        tokenizer: List of K strings → int64 (K, L).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._row = lru_cache(_CACHED)(lambda text: tokenizer([text])[0])

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """K strings → int64, (K, L)."""
        return torch.stack([self._row(text) for text in texts])

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedTokenizer, (self.tokenizer,)  # each worker has its own cache
