"""The format of `torch.save` before torch 1.6: pickles one behind another, then raw storages."""

from __future__ import annotations

import math
import sys
from typing import Any, BinaryIO

from torch import UntypedStorage

from cyclip_pl import tensor_pickle
from cyclip_pl.tensor_pickle import Refused
from cyclip_pl.torch_archive import filled

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
# How such a file begins: a pickle of that number, in protocol 2.
START = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")


def read(file: BinaryIO) -> Any:
    """Read such a file: tensors and plain containers, in memory that is no longer than the file.

    Raises:
        Refused: It is damaged, or claims more than it holds.
    """
    length = file.seek(0, 2)
    file.seek(0)
    storages: dict[str, UntypedStorage] = {}
    counts: dict[str, tuple[int, ...]] = {}
    left = length

    def find(key: str, *count: int) -> UntypedStorage:
        nonlocal left
        if key not in storages:
            left -= math.prod(count)
            if left < 0:
                raise Refused(f"claims {count[0]:,} values, more than the file can hold")
            storages[key], counts[key] = UntypedStorage(math.prod(count)), count
        if counts[key] != count:
            raise Refused("a damaged pickle")
        return storages[key]

    def plain() -> Any:
        return tensor_pickle.read(file, _no_storage, 0)

    magic, version, system = plain(), plain(), plain()
    if (magic, version) != (_MAGIC, _VERSION) or not isinstance(system, dict):
        raise Refused("a damaged pickle")
    if system.get("little_endian") is not (sys.byteorder == "little"):
        raise Refused("its numbers are in another byte order than this machine's")
    content = tensor_pickle.read(file, find, length)
    keys = plain()
    # Each once: what is not filled would hold what was in memory before.
    named = isinstance(keys, list) and all(type(key) is str for key in keys)
    if not named or sorted(keys) != sorted(storages):
        raise Refused("its storages are not those that it lists")
    for key in keys:
        if int.from_bytes(file.read(8), "little") != counts[key][0]:
            raise Refused("cut short, or a storage is not as long as it says")
        filled(file, storages[key])
    return content


def _no_storage(key: str, values: int, width: int) -> UntypedStorage:
    raise Refused("a damaged pickle")
