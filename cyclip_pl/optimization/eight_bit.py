"""AdamW with a state of 8 bits."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer


def adamw_8bit(params: Any, **settings: Any) -> Optimizer:
    """`bitsandbytes.optim.AdamW8bit` (Dettmers et al., arXiv:2110.02861).

    Raises:
        ValueError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ValueError(
            f"optimizer=adamw8bit: cannot import bitsandbytes ({error});"
            " pip install 'cyclip-pl[bitsandbytes]'"
        ) from error
    return AdamW8bit(params, **settings)
