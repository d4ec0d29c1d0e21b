"""The libraries of a command without what their imports bring along: commands begin sooner.

timm, torchmetrics and open_clip import further packages for functions that a command seldom or
never calls, and those take longer than the three themselves: matplotlib and scipy.signal
(torchmetrics), transformers (open_clip), torch's compiler (torchvision, timm), wandb (timm).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

_LIBRARIES = ("timm", "torchmetrics", "open_clip")
_PUT_OFF = (
    "scipy.signal",
    "torchmetrics.utilities.plot",  # it imports matplotlib
    "transformers",
    "transformers.modeling_outputs",
)
_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


def import_libraries(*, compiler: bool) -> None:
    """Import timm, torchmetrics and open_clip; what they import for others comes at its first use.

    For a command's own process: there `timm.utils.update_summary` cannot log to wandb.

    Args:
        compiler: Whether the process may use `torch.compile`. If not, its import is put off too,
            and timm's networks do not carry the marks that it reads.
    """
    with _hidden("wandb"), _put_off(_PUT_OFF):
        if compiler:
            _import_all()
        else:
            with _put_off(_COMPILER), _without_marks():
                _import_all()
            _do_not_mark(torch.optim.Optimizer.add_param_group)


def _import_all() -> None:
    for name in _LIBRARIES:
        import_module(name)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Within, an import of `name` fails as if it were not installed."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]


@contextmanager
def _put_off(names: tuple[str, ...]) -> Iterator[None]:
    """Within, an import of one of `names` gives a stand-in; afterwards the module itself."""
    missing = [name for name in names if name not in sys.modules and _installed(name)]
    sys.modules.update({name: _StandIn(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def _installed(name: str) -> bool:
    return find_spec(name.partition(".")[0]) is not None


@contextmanager
def _without_marks() -> Iterator[None]:
    """Within, `torch.compiler.disable` changes nothing: a mark would load the compiler."""
    compiler: Any = torch.compiler
    disable = compiler.disable
    compiler.disable = _as_it_is
    try:
        yield
    finally:
        compiler.disable = disable


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _do_not_mark(function: Any) -> None:
    """For a function that torch would mark at its first call, which loads the compiler."""
    marked = getattr(function, "__wrapped__", None)
    if marked is not None:
        marked.__dict__.setdefault("__dynamo_disable", marked)


class _StandIn(ModuleType):
    """A module whose attributes are looked up when they are used."""

    __path__: list[str] = []  # as of a package, so that it may hold further ones

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # for those who ask whether it is installed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or _Attribute(self.__name__, name)


class _Attribute:
    """A function or class of a module that is imported when this is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def _found(self) -> Any:
        return getattr(import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by decorators and by typing, who need no answer
            raise AttributeError(name)
        return getattr(self._found(), name)
