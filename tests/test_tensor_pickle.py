"""Pickles written by hand: nothing runs, and nothing grows beyond the file."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import UntypedStorage

from cyclip_pl import tensor_pickle
from cyclip_pl.tensor_pickle import Module, Refused

DICT = b"ccollections\nOrderedDict\n"
STORED = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuK\4tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def read(body: bytes) -> Any:
    memory = torch.arange(4.0).untyped_storage()

    def find(key: str, values: int, width: int) -> UntypedStorage:
        assert (key, values, width) == ("k", 4, 4)
        return memory

    return tensor_pickle.read(b"\x80\x02" + body + b".", find, 1000)


def tensor(offset: bytes, size: bytes, stride: bytes, more: bytes = b"") -> bytes:
    return REBUILD + b"(" + STORED + offset + size + stride + b"\x89" + DICT + b")R" + more + b"tR"


@pytest.mark.parametrize(
    "value",
    [None, True, 7, -7, 2**70, 1.5, "ä", [1, [2]], {"a": (1, (2, 3), ())}, {1: None, 2.5: "x"}],
)
def test_plain_values_are_those_that_were_written(value: object) -> None:
    assert tensor_pickle.read(pickle.dumps(value, protocol=2), lambda *_: None, 0) == value


def test_views_are_where_they_say() -> None:
    assert read(tensor(b"K\1", b"K\3\x85", b"K\1\x85")).tolist() == [1, 2, 3]
    assert read(tensor(b"K\0", b"K\2K\2\x86", b"K\1K\2\x86")).tolist() == [[0, 2], [1, 3]]
    assert read(tensor(b"K\3", b")", b")")).item() == 3
    # Values that repeat, as `expand` writes them, within the length of the file.
    assert read(tensor(b"K\1", b"K\3K\1\x86", b"K\0K\1\x86")).tolist() == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (tensor(b"K\2", b"K\3\x85", b"K\1\x85"), "beyond its storage"),
        (tensor(b"K\0", b"K\2\x85", b"K\4\x85"), "beyond its storage"),
        (tensor(b"K\4", b")", b")"), "beyond its storage"),
        (tensor(b"J\xff\xff\xff\xff", b"K\1\x85", b"K\1\x85"), "impossible shape"),
        (tensor(b"K\3", b"K\2\x85", b"J\xff\xff\xff\xff\x85"), "impossible shape"),
        (tensor(b"K\0", b"J\xff\xff\xff\xff\x85", b"K\1\x85"), "impossible shape"),
        (tensor(b"K\0", b"\x8a\x10" + b"\0" * 15 + b"\1\x85", b"K\0\x85"), "impossible shape"),
        (tensor(b"K\0", b"(" + b"K\1" * 65 + b"t", b"(" + b"K\0" * 65 + b"t"), "impossible shape"),
        (tensor(b"K\0", b"M\xe9\3\x85", b"K\0\x85"), "claims 1,001 values"),
        (tensor(b"K\0", b"K\1\x85", b")"), "damaged"),
        (tensor(b"\x88", b"K\1\x85", b"K\1\x85"), "impossible shape"),
        (tensor(b"K\0", b"K\1\x85", b"K\1\x85", b"}X\4\0\0\0conj\x88s"), "conjugated"),
        (STORED.replace(b"K\4", b"J\xff\xff\xff\xff"), "claims -1 values"),
        (STORED.replace(b"FloatStorage", b"Tensor"), "torch.Tensor"),
        (STORED.replace(b"storage", b"modules"), "damaged"),
        (b"cos\nsystem\nX\4\0\0\0true\x85R", "os.system"),
        (b"cposix\nsystem\n", "posix.system"),
        (b"cbuiltins\ngetattr\n", "builtins.getattr"),
        (b"ctorch\nTensor\nK\2\x85R", "torch.Tensor"),
        (b"c__torch__.a\nB\nK\2\x85R", "damaged"),  # a module is not called
        (DICT + b")\x81", "damaged"),  # nor a container made in another way
        (DICT + b"}X\10\0\0\0__init__Nsb", "damaged"),  # nor are classes changed
        (REBUILD + b"}X\14\0\0\0__defaults__Nsb", "damaged"),
        (b"N}b", "damaged"),
        (DICT + b"((K\1tl\x85R", "another kind"),  # LIST is not of protocol 2
        (b"(i__main__\nX\n", "another kind"),
        (b"X\1\0\0\0aX\1\0\0\0b\x93", "another kind"),
        (b"P1\n", "another kind"),
        (b"\x82\1", "another kind"),  # a class by its number in copyreg
        (b"}(K\1K\2K\3u", "damaged"),
        (b"]}K\1s", "damaged"),
        (b"](K\1K\2u", "damaged"),
        (b")(K\1e", "damaged"),
        (b"})K\1s", "damaged"),
        (b"h\5", "damaged"),
        (b"N(N", "damaged"),
        (b"NN", "damaged"),
        (b"", "damaged"),
        (b"t", "damaged"),
        (b"\x85", "damaged"),
        (b"X\xff\xff\xff\xffa", "damaged"),
    ],
)
def test_all_else_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(Refused) as caught:
        read(body)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert OrderedDict().__init__ is not None


def test_what_makes_python_grow_or_crash_does_not() -> None:
    # The place of a memo: `pickle` makes a list of that length.
    assert read(b"Nr" + struct.pack("<I", 2**31)) is None
    # A key that nests deeply: Python's hash of it ends the process.
    with pytest.raises(Refused):
        read(b"})" + b"\x85" * 200_000 + b"Ns")
    with pytest.raises(Refused, match="too long"):
        read(b"]" * 5_000_001)
    # A container in itself is what was written.
    assert (cycle := read(b"]q\0h\0a"))[0] is cycle


def test_a_module_is_its_attributes_alone() -> None:
    module = read(b"c__torch__.os\nsystem\n)\x81}X\1\0\0\0aK\1sb")
    assert type(module) is Module and module.attributes == {"a": 1}
