"""Captions → tokens, cached."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.data.word_tokens import WordTokenizer, can_be_split

Tokenizer = Callable[[list[str]], Tensor]
TextLength = Callable[[Tensor], Tensor]

_CACHED = 32_768
# Few lengths, so that a compiled model meets few shapes, and kernels meet whole vectors.
_MULTIPLE = 8


class CachedTokenizer:
    """A tokenizer that caches the tokens of the latest captions.

    Args:
        tokenizer: List of K strings → int64 (K, L).
        text_length: Tokens (K, L) → how many of each row count (K,). Rows are then as long as the
            longest of a call needs, up to a multiple of 8 or to L.
    """

    def __init__(self, tokenizer: Tokenizer, text_length: TextLength | None = None) -> None:
        self.tokenizer = tokenizer
        self.text_length = text_length
        self._rows: Callable[[Sequence[str]], Tensor]
        if can_be_split(tokenizer):
            self._rows = WordTokenizer(tokenizer)
        else:
            row = lru_cache(_CACHED)(lambda text: tokenizer([text])[0])
            self._rows = lambda texts: torch.stack([row(text) for text in texts])

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """K strings → int64, (K, L) or shorter."""
        tokens_KL = self._rows(texts)
        if self.text_length is None:
            return tokens_KL
        longest = int(self.text_length(tokens_KL).max())
        # Copied: a worker would send all that a slice is cut from.
        return tokens_KL[:, : math.ceil(longest / _MULTIPLE) * _MULTIPLE].contiguous()

    def length(self, text: str) -> int:
        """How many tokens of a text count."""
        assert self.text_length is not None
        return int(self.text_length(self._rows([text])))

    def __reduce__(self) -> tuple[Any, ...]:
        # Each worker has its own cache.
        return CachedTokenizer, (self.tokenizer, self.text_length)
