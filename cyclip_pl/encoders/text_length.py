"""Texts shorter than the context, where a text tower gives the same features for them.

A causal tower that pools one position does not look behind it. A tower that masks padding does not
look at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class UpToPooled:
    """Counts the tokens up to the pooled one: the first of the largest, or the first `eos`."""

    eos: int | None = None

    def __call__(self, tokens_KL: Tensor) -> Tensor:
        marks_KL = tokens_KL if self.eos is None else (tokens_KL == self.eos).int()
        return marks_KL.argmax(dim=1) + 1


@dataclass(frozen=True)
class UpToPadding:
    """Counts the tokens up to the last one that is not padding."""

    pad: int

    def __call__(self, tokens_KL: Tensor) -> Tensor:
        kept_KL = (tokens_KL != self.pad).int()
        return tokens_KL.shape[1] - kept_KL.flip(1).argmax(dim=1)


def text_length(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Tokens (K, L) → how many of each row an open_clip model's features depend on (K,).

    Raises:
        ValueError: It depends on all of them.
    """
    from open_clip.hf_model import ClsLastHiddenStatePooler, ClsPooler, HFTextEncoder, MeanPooler

    tower: Any = getattr(model, "text", model)
    if isinstance(tower, HFTextEncoder):  # it masks padding
        if not isinstance(tower.pooler, MeanPooler | ClsPooler | ClsLastHiddenStatePooler):
            raise ValueError(f"the text tower pools by {type(tower.pooler).__name__}")
        return UpToPadding(tower.config.pad_token_id)
    if not hasattr(tower, "attn_mask"):
        raise ValueError(f"the text tower {type(tower).__name__} is not known to mask tokens")
    if not _causal(tower.attn_mask):
        raise ValueError("the text tower attends to padding")
    if problem := _looks_at_all(tower):
        raise ValueError(problem)
    pool, eos = _pooling(tower)
    return UpToPooled(eos if pool == "eos" else None)


def encode_text(model: Any, tokens_NL: Tensor) -> Tensor:
    """`model.encode_text`, also of fewer tokens than the context has; see `text_length`."""
    from open_clip.transformer import text_global_pool

    tower = getattr(model, "text", model)
    mask, length = getattr(tower, "attn_mask", None), tokens_NL.shape[1]
    if mask is None or length >= mask.shape[0] or _looks_at_all(tower):
        return model.encode_text(tokens_NL)
    # open_clip cuts neither the mask nor, in a `CLIP`, the positions.
    dtype = tower.transformer.get_cast_dtype()
    x_NLW = tower.token_embedding(tokens_NL).to(dtype)
    x_NLW = x_NLW + tower.positional_embedding[:length].to(dtype)
    x_NLW = tower.ln_final(tower.transformer(x_NLW, attn_mask=mask[:length, :length]))
    pool, eos = _pooling(tower)
    pooled_NW = text_global_pool(x_NLW, tokens_NL, pool, eos_token_id=eos)
    projection = tower.text_projection
    if isinstance(projection, nn.Linear):
        return projection(pooled_NW)
    return pooled_NW if projection is None else pooled_NW @ projection


def _looks_at_all(tower: Any) -> str:
    """Why the position that a causal tower pools moves with the length; empty if it does not."""
    if getattr(tower, "cls_emb", None) is not None:
        return "the text tower has a class token behind the last position"
    pool, _ = _pooling(tower)
    return "" if pool in ("argmax", "eos") else f"the text tower pools by position ({pool})"


def _pooling(tower: Any) -> tuple[str, int]:
    """How a tower pools, and its end-of-text token; a `CLIP` is its own text tower."""
    if hasattr(tower, "pool_type"):
        return tower.pool_type, tower.eos_id
    return tower.text_pool_type, tower.text_eos_id


def _causal(mask: Tensor | None) -> bool:
    """Whether no position attends to a later one."""
    if mask is None:
        return False
    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool((mask[later] == -torch.inf).all())
