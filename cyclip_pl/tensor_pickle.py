"""Pickles of tensors and plain containers, read as data: nothing that they name is called.

`pickle` calls what a file names, and allocates what it claims. This walks the opcodes instead, of
protocol 2 as `torch.save` and TorchScript write it, and refuses all others.
"""

from __future__ import annotations

import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor, UntypedStorage

MOST_BYTES = 100_000_000  # of one pickle
_MOST_STEPS = 5_000_000  # an empty container takes 64 times the byte that makes it
_MOST_DIMENSIONS = 64  # as torch
_LONGEST_SIDE = 2**48  # beyond any memory, and its product with another one fits 128 bits

# The key of a storage, its values and the bytes of each → its memory.
FindStorage = Callable[[str, int, int], UntypedStorage]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ORDERED_DICT = "collections OrderedDict"
_SIZE = "torch Size"
_TENSORS = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"}
_PARAMETER = "torch._utils _rebuild_parameter"
# Of TorchScript: a list or a container, whose type is told beside it.
_TYPED = {
    "torch.jit._pickle build_boollist",
    "torch.jit._pickle build_doublelist",
    "torch.jit._pickle build_intlist",
    "torch.jit._pickle build_tensorlist",
    "torch.jit._pickle restore_type_tag",
}
_SCRIPT = "__torch__."
_STORAGES = {
    "torch BFloat16Storage": torch.bfloat16,
    "torch BoolStorage": torch.bool,
    "torch ByteStorage": torch.uint8,
    "torch CharStorage": torch.int8,
    "torch ComplexDoubleStorage": torch.complex128,
    "torch ComplexFloatStorage": torch.complex64,
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch IntStorage": torch.int32,
    "torch LongStorage": torch.int64,
    "torch ShortStorage": torch.int16,
    "torch.storage UntypedStorage": torch.uint8,
}
_KNOWN = {_ORDERED_DICT, _SIZE, _PARAMETER, *_TENSORS, *_TYPED, *_STORAGES}


class Refused(ValueError):
    """What is wrong with a file, as the end of a line."""


class Module:
    """What a TorchScript archive holds in place of a module: its attributes."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}


class _Global(NamedTuple):
    """What a pickle names, `module name`."""

    path: str


class _Stored(NamedTuple):
    memory: UntypedStorage
    dtype: torch.dtype
    values: int


def read(file: BinaryIO | bytes, find: FindStorage, most_values: int) -> Any:
    """Read one pickle, to its end.

    Args:
        find: Gives the memory of a storage; raises Refused if the file does not hold it.
        most_values: Of all tensors together, since views may repeat their values.

    Raises:
        Refused: It is damaged, names anything but tensors and plain containers, or claims too much.
    """
    try:
        return _Reader(find, most_values).read(file if isinstance(file, bytes) else _Part(file))
    except Refused:
        raise
    except Exception as error:  # broken bytes raise nearly anything
        raise Refused("a damaged pickle") from error


class _Part:
    """The next bytes of a file, no more than a pickle may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MOST_BYTES

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise Refused("its pickle is too long")
        return self._counted(self._file.read(size))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(self._left))


class _Reader:
    """A stack machine of one pickle's opcodes."""

    def __init__(self, find: FindStorage, most_values: int) -> None:
        self.find = find
        self.left = self.most = most_values
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def read(self, pickle: Any) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if step > _MOST_STEPS:
                raise Refused("its pickle is too long")
            self.take(opcode.name, argument)
        (content,) = self.stack
        if self.marked:
            raise Refused("a damaged pickle")
        return content

    def take(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif opcode in _TUPLES:
            first = len(stack) - _TUPLES[opcode]
            if first < 0:
                raise Refused("a damaged pickle")
            stack[first:] = [tuple(stack[first:])]
        elif opcode == "MARK":
            self.marked.append(stack)
            self.stack = []
        elif opcode == "TUPLE":
            items = self.since_mark()
            self.stack.append(tuple(items))
        elif opcode == "EMPTY_DICT":
            stack.append({})
        elif opcode == "EMPTY_LIST":
            stack.append([])
        elif opcode in ("SETITEM", "SETITEMS"):
            items = self.since_mark() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _set_items(self.stack[-1], items)
        elif opcode in ("APPEND", "APPENDS"):
            items = self.since_mark() if opcode == "APPENDS" else [stack.pop()]
            if type(self.stack[-1]) is not list:
                raise Refused("a damaged pickle")
            self.stack[-1].extend(items)
        elif opcode == "GLOBAL":
            stack.append(_named(argument))
        elif opcode == "BINPERSID":
            stack.append(self.stored(stack.pop()))
        elif opcode == "REDUCE":
            arguments, named = stack.pop(), stack.pop()
            stack.append(self.made(named, arguments))
        elif opcode == "NEWOBJ":
            arguments, named = stack.pop(), stack.pop()
            if not (isinstance(named, _Global) and named.path.startswith(_SCRIPT)) or arguments:
                raise Refused("a damaged pickle")
            stack.append(Module())
        elif opcode == "BUILD":
            _build(stack[-2], stack.pop())
        elif opcode not in ("PROTO", "STOP"):
            raise Refused(f"holds a pickle of another kind than torch.save's ({opcode})")

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def stored(self, persistent: Any) -> _Stored:
        """The storage of `("storage", class, key, device, values)`, and None in the old format."""
        kind, named, key, _, values, *view = persistent
        dtype = _STORAGES[named.path]
        if kind != "storage" or type(key) is not str or view not in ([], [None]):
            raise Refused("a damaged pickle")
        if type(values) is not int or not 0 <= values <= self.most:
            raise Refused(f"claims {_shown(values)} values, more than the file can hold")
        return _Stored(self.find(key, values, dtype.itemsize), dtype, values)

    def made(self, named: Any, arguments: Any) -> Any:
        path = named.path
        if path == _ORDERED_DICT and not arguments:
            return OrderedDict()
        if path == _SIZE:
            (sides,) = arguments
            return torch.Size(_sides(sides))
        if path == _PARAMETER and isinstance(arguments[0], Tensor):
            return arguments[0]
        if path in _TYPED:
            return arguments[0]
        if path in _TENSORS:
            stored, offset, size, stride, _, _, *more = arguments
            dtype = stored.dtype
            if path.endswith("v3"):
                dtype, *more = more
            if any(more):
                raise Refused("holds a tensor that is conjugated or negated")
            return self.tensor(stored, dtype, offset, _sides(size), _sides(stride))
        raise Refused("a damaged pickle")

    def tensor(
        self,
        stored: _Stored,
        dtype: torch.dtype,
        offset: Any,
        size: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> Tensor:
        """A view of a storage that lies inside it."""
        (offset,) = _sides((offset,))
        if len(size) != len(stride):
            raise Refused("a damaged pickle")
        values = math.prod(size)
        self.left -= values
        if self.left < 0:
            raise Refused(f"claims {_shown(values)} values, more than the file can hold")
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if values and (last + 1) * dtype.itemsize > stored.values * stored.dtype.itemsize:
            raise Refused("holds a tensor that reaches beyond its storage")
        if not values:
            return torch.empty(size, dtype=dtype)
        return torch.empty(0, dtype=dtype).set_(stored.memory, offset, size, stride)


def _named(argument: str) -> _Global | torch.dtype:
    module, _, name = argument.partition(" ")
    if module == "torch" and isinstance(known := getattr(torch, name, None), torch.dtype):
        return known
    if argument not in _KNOWN and not module.startswith(_SCRIPT):
        raise Refused(
            f"holds {f'{module}.{name}'[:60]!a}, only tensors and plain values are read;"
            " nothing in it was executed"
        )
    return _Global(argument)


def _set_items(target: Any, items: list[Any]) -> None:
    keys, values = items[::2], items[1::2]
    # A tuple that nests deeply crashes Python where it is hashed.
    plain = all(isinstance(key, str | int | float | None) for key in keys)
    if not plain or type(target) not in (dict, OrderedDict) or len(keys) != len(values):
        raise Refused("a damaged pickle")
    target.update(zip(keys, values, strict=True))


def _build(target: Any, state: Any) -> None:
    """Give an object its attributes; those of a dict, versions of its layers, are left out."""
    if isinstance(target, Module) and type(state) is dict:
        target.attributes = state
    elif type(target) is not OrderedDict:
        raise Refused("a damaged pickle")


def _sides(sizes: Any) -> tuple[int, ...]:
    sides = tuple(sizes)
    if len(sides) > _MOST_DIMENSIONS or any(
        type(side) is not int or not 0 <= side < _LONGEST_SIDE for side in sides
    ):
        raise Refused("holds a tensor of an impossible shape")
    return sides


def _shown(number: Any) -> str:
    return f"{number:,}" if type(number) is int and number < 10**30 else "countless"
