"""Each schedule against its formula, written here once more."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.optimization import schedules
from cyclip_pl.optimization.making import named_schedule
from tests.helpers.composed import choices, composed

TOTAL, WARMUP = 110, 10


def _optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)


def _rates(make: Callable[..., Any], steps: int = TOTAL + 5, **settings: Any) -> list[float]:
    """The rates of the steps, as the optimizer sees them, in fractions of the full one."""
    optimizer = _optimizer()
    schedule, seen = make(optimizer, warmup_steps=WARMUP, **settings), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        schedule.step()
    return seen


def _warm(k: int) -> float | None:
    return float(Fraction(k + 1, WARMUP)) if k < WARMUP else None


def _compare(seen: list[float], formula: Callable[[int], float]) -> None:
    for k, rate in enumerate(seen):
        warm = _warm(k)
        assert rate == pytest.approx(formula(k) if warm is None else warm, abs=1e-12), k


def test_constant() -> None:
    _compare(_rates(schedules.constant), lambda k: 1.0)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_and_linear(final: float) -> None:
    def angle(k: int) -> float:
        return math.pi * min(k - 10, 100) / 100

    seen = _rates(schedules.cosine, total_steps=TOTAL, final_fraction=final)
    _compare(seen, lambda k: final + (1 - final) * math.cos(angle(k) / 2) ** 2)
    seen = _rates(schedules.linear, total_steps=TOTAL, final_fraction=final)
    _compare(seen, lambda k: max(final, final + (1 - final) * (110 - k) / 100))


@pytest.mark.parametrize("length", [{"decay_steps": 22}, {"decay_fraction": 0.2}])
@pytest.mark.parametrize(
    ("shape", "power", "left"),
    [
        ("linear", 1.0, lambda x: 1 - x),
        ("linear", 2.0, lambda x: 1 - 2 * x + x * x),
        ("1-sqrt", 1.0, lambda x: 1 - x**0.5),
    ],
)
def test_wsd(length: dict[str, Any], shape: str, power: float, left: Callable) -> None:
    settings = {"decay_shape": shape, "decay_power": power, "final_fraction": 0.05, **length}
    seen = _rates(schedules.wsd, total_steps=TOTAL, **settings)
    assert seen[WARMUP:89] == [1.0] * 79
    assert seen[TOTAL:] == pytest.approx([0.05] * 5)
    _compare(seen, lambda k: 1.0 if k < 88 else 0.05 + 0.95 * left(min(1.0, (k - 88) / 22)))


def test_wsd_is_open_clips_constant_rate_with_a_cooldown() -> None:
    from open_clip_train.scheduler import const_lr_cooldown

    theirs = _optimizer()
    adjust = const_lr_cooldown(
        theirs, 2.0, WARMUP, TOTAL, 30, cooldown_power=1.5, cooldown_end_lr=0.2
    )
    settings = {"decay_steps": 30, "decay_shape": "linear", "decay_power": 1.5}
    seen = _rates(schedules.wsd, TOTAL, total_steps=TOTAL, final_fraction=0.1, **settings)
    assert seen == pytest.approx([adjust(step) / 2.0 for step in range(TOTAL)])


def test_cosine_with_a_cooldown() -> None:
    def formula(k: int) -> float:
        if k < 90:
            return 0.2 + 0.8 * math.cos(math.pi * (k - 10) / 160) ** 2
        return 0.2 * max(0, 110 - k) / 20

    seen = _rates(
        schedules.cosine_cooldown, total_steps=TOTAL, cosine_fraction=0.2, cooldown_steps=20
    )
    _compare(seen, formula)
    assert seen[90] == pytest.approx(0.2) and seen[89] > 0.2 and seen[110] == 0.0


def test_a_run_shorter_than_its_warm_up_only_warms_up() -> None:
    for make in (schedules.cosine, schedules.linear, schedules.wsd, schedules.cosine_cooldown):
        assert _rates(make, 4, total_steps=4) == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("name", choices("scheduler"))
def test_a_run_without_end(name: str) -> None:
    make = named_schedule(instantiate(composed(f"scheduler={name}").scheduler))
    assert make(_optimizer(), 400).get_last_lr() == [2.0 / 100]
    if name == "constant":
        assert make(_optimizer(), math.inf).get_last_lr() == [2.0 / 100]
    else:
        with pytest.raises(ValueError, match="the run has no end; set trainer.max_steps"):
            make(_optimizer(), math.inf)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (schedules.wsd, {"decay_power": 2.0}, "scheduler.decay_power=2.0: is of the linear shape"),
        (schedules.wsd, {"decay_shape": "sqrt"}, "scheduler.decay_shape=sqrt: must be one of"),
        (schedules.cosine_cooldown, {"final_fraction": 0.5}, "scheduler.final_fraction=0.5: is ab"),
    ],
)
def test_settings_that_do_not_work(make: Callable, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make(_optimizer(), total_steps=TOTAL, warmup_steps=WARMUP, **settings)
