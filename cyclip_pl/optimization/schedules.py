"""How the learning rate moves: fractions of it as functions of the step.

All begin with the same linear warm-up. Its step k runs at (k + 1) / warmup_steps of the rate, so
that the first step learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cyclip_pl import checks


def constant(optimizer: Optimizer, warmup_steps: int) -> LambdaLR:
    """Warm-up, then the learning rate itself, for a run with or without an end."""
    return _warmed(optimizer, warmup_steps, lambda step: 1.0)


def cosine(
    optimizer: Optimizer, total_steps: float, warmup_steps: int, final_fraction: float = 0.0
) -> LambdaLR:
    """Warm-up, then half a cosine down to `final_fraction` of the learning rate.

    Args:
        total_steps, warmup_steps: Optimizer steps of the whole run and of the warm-up.
        final_fraction: Share of the learning rate that is left at the end.

    Raises:
        ValueError: The run has no known end.
    """
    _check_end("cosine", total_steps)

    def fraction(step: int) -> float:
        done = _done(step, warmup_steps, total_steps)
        return final_fraction + (1 - final_fraction) * _half_cosine(done)

    return _warmed(optimizer, warmup_steps, fraction)


def linear(
    optimizer: Optimizer, total_steps: float, warmup_steps: int, final_fraction: float = 0.0
) -> LambdaLR:
    """Warm-up, then a straight line down to `final_fraction`; arguments and errors of `cosine`."""
    _check_end("linear", total_steps)

    def fraction(step: int) -> float:
        return 1 - (1 - final_fraction) * _done(step, warmup_steps, total_steps)

    return _warmed(optimizer, warmup_steps, fraction)


def wsd(
    optimizer: Optimizer,
    total_steps: float,
    warmup_steps: int,
    decay_fraction: float = 0.2,
    decay_steps: int | None = None,
    decay_shape: str = "1-sqrt",
    decay_power: float = 1.0,
    final_fraction: float = 0.0,
) -> LambdaLR:
    """Warm-up, stable, decay (Hu et al., arXiv:2404.06395); shapes by Hägele et al., 2405.18392.

    With x from 0 to 1 over the decay, its shapes are (1 - x)^power ("linear") and 1 - sqrt(x)
    ("1-sqrt"). The first is what open_clip calls const-cooldown.

    Args:
        total_steps, warmup_steps, final_fraction: See `cosine`.
        decay_fraction: Share of the whole run that is the decay.
        decay_steps: Steps of the decay, in place of that share.
        decay_shape, decay_power: See above.

    Raises:
        ValueError: The run has no known end; an unknown shape; a power of the other shape.
    """
    _check_end("wsd", total_steps)
    checks.one_of("scheduler.decay_shape", decay_shape, ["linear", "1-sqrt"])
    if decay_shape != "linear" and decay_power != 1:
        raise ValueError(
            f"scheduler.decay_power={decay_power}: is of the linear shape;"
            " set scheduler.decay_shape=linear, or leave it out"
        )
    start = _start_of_end(total_steps, warmup_steps, decay_fraction, decay_steps)

    def fraction(step: int) -> float:
        x = _done(step, start, total_steps)
        left = (1 - x) ** decay_power if decay_shape == "linear" else 1 - math.sqrt(x)
        return final_fraction + (1 - final_fraction) * left

    return _warmed(optimizer, warmup_steps, fraction)


def cosine_cooldown(
    optimizer: Optimizer,
    total_steps: float,
    warmup_steps: int,
    cosine_fraction: float = 0.1,
    cooldown_fraction: float = 0.1,
    cooldown_steps: int | None = None,
    final_fraction: float = 0.0,
) -> LambdaLR:
    """Warm-up, half a cosine down to `cosine_fraction`, then a straight line to `final_fraction`.

    As OLMo 2 (arXiv:2501.00656) ends its cosine with a linear one to zero.

    Args:
        total_steps, warmup_steps: See `cosine`.
        cosine_fraction: Share of the learning rate at which the cosine ends.
        cooldown_fraction: Share of the whole run that is the line.
        cooldown_steps: Steps of the line, in place of that share.
        final_fraction: Share of the learning rate that is left at the end.

    Raises:
        ValueError: The run has no known end; the line would rise.
    """
    _check_end("cosine_cooldown", total_steps)
    if final_fraction > cosine_fraction:
        raise ValueError(
            f"scheduler.final_fraction={final_fraction}: is above"
            f" scheduler.cosine_fraction={cosine_fraction}, from which the rate comes down"
        )
    start = _start_of_end(total_steps, warmup_steps, cooldown_fraction, cooldown_steps)

    def fraction(step: int) -> float:
        if step < start:
            done = _done(step, warmup_steps, start)
            return cosine_fraction + (1 - cosine_fraction) * _half_cosine(done)
        x = _done(step, start, total_steps)
        return cosine_fraction + (final_fraction - cosine_fraction) * x

    return _warmed(optimizer, warmup_steps, fraction)


def _check_end(name: str, total_steps: float) -> None:
    if not 1 <= total_steps < math.inf:
        raise ValueError(
            f"scheduler={name}: the run has no end; set trainer.max_steps, or scheduler=constant"
        )


def _warmed(optimizer: Optimizer, warmup_steps: int, fraction: Callable[[int], float]) -> LambdaLR:
    def warmed(step: int) -> float:
        return (step + 1) / warmup_steps if step < warmup_steps else fraction(step)

    return LambdaLR(optimizer, warmed)


def _done(step: int, start: float, end: float) -> float:
    """The share of a stretch of steps that lies behind, 0 to 1."""
    return min(1.0, max(0, step - start) / max(1, end - start))


def _half_cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _start_of_end(total: float, warmup: int, share: float, steps: int | None) -> float:
    """The step at which the last stretch begins, behind the warm-up."""
    return max(warmup, total - (round(share * total) if steps is None else steps))
