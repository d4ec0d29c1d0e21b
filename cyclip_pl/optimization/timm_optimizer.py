"""Any optimizer of timm's by its name."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from cyclip_pl.checks import did_you_mean

# Of other packages; with random numbers or a counter that a checkpoint does not keep.
_NOT = ["bnb*", "fused*", "kron*", "lookahead_*"]


def timm_optimizer(params: Any, name: str, **settings: Any) -> Optimizer:
    """`timm.optim.create_optimizer_v2` of parameter groups.

    Args:
        name: As `timm.optim.list_optimizers()` has it.
        settings: Its learning rate, weight decay and whatever else it takes.

    Raises:
        ValueError: An unknown name; an optimizer that needs more than gradients.
    """
    import timm.optim

    timm_class(name)
    try:
        return timm.optim.create_optimizer_v2(params, opt=name, **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer.name={name}: {error}") from error


def timm_class(name: str) -> type[Optimizer]:
    """The class that timm makes of a name; raises ValueError, see `timm_optimizer`."""
    import timm.optim

    known: Any = timm.optim.list_optimizers(exclude_filters=_NOT)
    if name not in known:
        raise ValueError(
            f"optimizer.name={name}: is not one of timm's that work here{did_you_mean(name, known)}"
        )
    if timm.optim.get_optimizer_info(name).second_order:
        raise ValueError(
            f"optimizer.name={name}: needs second derivatives, which training does not compute;"
            " set another optimizer.name"
        )
    kind: Any = timm.optim.get_optimizer_class(name, bind_defaults=False)
    return kind
