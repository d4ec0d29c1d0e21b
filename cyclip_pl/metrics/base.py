"""What our metrics share: torchmetrics' conventions, and sums that do not depend on the order.

Floating-point sums depend on their order, and so on the number of ranks. `ExactSums` splits each
number into two integers instead, multiples of 2^-20 and of 2^-60, and sums these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from cyclip_pl.metrics.bootstrap import shares

_BOUND = 2.0**33  # of a number to sum: its first integer is then exact in float64
_HIGH, _LOW = 2.0**20, 2.0**40


class BaseMetric(Metric):
    """A metric of evaluation: no gradient, states that merge, a plot; see `torchmetrics.Metric`.

    `compute` returns float64: one scalar, or several by name. Constructors pass their `kwargs` on
    to their base class.
    """

    is_differentiable = False
    full_state_update = False

    def add_count(self, name: str, *shape: int) -> None:
        """An int64 state, summed over ranks."""
        self.add_state(name, torch.zeros(shape, dtype=torch.int64), "sum")

    def scalar(self, value: float | Tensor) -> Tensor:
        """float64 on the metric's device; float32 on Apple's GPUs, which have no float64."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.tensor(float(value), dtype=dtype, device=self.device)

    def scalars(self, values: Mapping[str, float | Tensor]) -> dict[str, Tensor]:
        """`scalar` of each value."""
        return {name: self.scalar(value) for name, value in values.items()}

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot a value, or a list of values over steps; `compute()` if None. Needs matplotlib."""
        return self._plot(val, ax)


class Shares(BaseMetric):
    """Shares of images by name.

    `intervals` adds the bounds `<name>_low` and `<name>_high` of `bootstrap`.
    """

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    hit_X: Tensor
    images: Tensor

    def __init__(self, names: Sequence[str], intervals: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = list(names)
        self.intervals = intervals
        self.add_count("hit_X", len(self.names))
        self.add_count("images")

    def count(self, hit_NX: Tensor) -> None:
        """Add images: which shares each counts for, bool."""
        self.hit_X = self.hit_X + hit_NX.sum(0)
        self.images = self.images + len(hit_NX)

    def compute(self) -> dict[str, Tensor]:
        hits = dict(zip(self.names, self.hit_X.tolist(), strict=True))
        return self.scalars(shares(hits, int(self.images), self.intervals))


class ExactSums(BaseMetric):
    """A metric over float64 sums that are the same for any order and any number of ranks.

    A term's error is at most 2^-61. A term that is not finite, or not below 2^33, turns every sum
    into nan: so does one row that is not finite. A sum must stay below 2^43, and may have 2^24
    terms.
    """

    sums: Mapping[str, int] = {}  # how many axes of length `width` each has
    unusable: Tensor

    def __init__(self, width: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.add_count("unusable")
        for name, axes in self.sums.items():
            self.add_count(name, 2, *[width] * axes)
            self.add_count(f"{name}_count")

    def add(self, name: str, term: Tensor, count: int | Tensor) -> None:
        """Add a term of the sum's shape, or N terms, (N, ...): a sum over `count` rows or pairs."""
        setattr(self, f"{name}_count", getattr(self, f"{name}_count") + count)
        if not term.numel():
            return
        scaled = as_double(term) * _HIGH
        usable = scaled.abs().max() < _BOUND * _HIGH
        high = scaled.round()
        low = scaled.sub_(high).mul_(_LOW).round_()
        state = getattr(self, name)
        total = torch.empty_like(state)
        for old, part, new in zip(state, (high.long(), low.long()), total, strict=True):
            part = part if part.ndim == old.ndim else part.sum(0)
            torch.add(old, part.to(old.device), out=new)
        setattr(self, name, total)
        self.unusable = self.unusable + (~usable).to(self.unusable.device)

    def total(self, name: str) -> Tensor:
        """The sum, float64; nan throughout if any term of any sum was unusable."""
        high, low = as_double(getattr(self, name))
        total = (high + low / _LOW) / _HIGH
        return total if not self.unusable else torch.full_like(total, math.nan)

    def count(self, name: str) -> int:
        """How many rows or pairs the sum is over."""
        return int(getattr(self, f"{name}_count"))

    def mean(self, name: str) -> Tensor:
        """The sum over its `count`; nan of nothing."""
        return self.total(name) / self.count(name)


class RowSums(ExactSums):
    """Sums of rows, (D,), and of products of rows, (D, D); all rows have one width."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(width, **kwargs)

    def doubles(self, **rows: Tensor) -> list[Tensor]:
        """The rows as float64; ValueError if they are not (N, D)."""
        for name, row_ND in rows.items():
            if row_ND.ndim != 2 or row_ND.shape[1] != self.width:
                expected = f"must be (N, {self.width}), the metric's width"
                raise ValueError(f"{name}: shape {tuple(row_ND.shape)}: {expected}")
        return [as_double(row_ND) for row_ND in rows.values()]


def as_double(x: Tensor) -> Tensor:
    """`x` as float64: on the CPU for Apple's GPUs, which have none, else where it is."""
    return (x.cpu() if x.device.type == "mps" else x).double()
