"""Files of torch before 1.6, which torch still writes when asked."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch

from cyclip_pl import old_torch_file, weights
from cyclip_pl.checkpoints.files import read_weights
from tests.helpers import hostile_files


def content() -> dict:
    torch.manual_seed(0)
    table = torch.randn(3, 4)
    state = OrderedDict(
        plain=table,
        tied=table,
        rows=table[1:],
        columns=table.T,
        one=torch.tensor(3.5),
        none=torch.empty(0, 3),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )
    for dtype in (torch.half, torch.bfloat16, torch.double, torch.long, torch.bool, torch.uint8):
        state[str(dtype)] = torch.arange(3).to(dtype)
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"betas": (0.9, 0.99), "lr": None}]}
    return {"epoch": 64, "name": "cyclip", "state_dict": state, "optimizer": optimizer}


def check_same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name
        assert found["state_dict"][name].dtype == value.dtype
    left = {k: v for k, v in found.items() if k != "state_dict"}
    assert left == {k: v for k, v in wanted.items() if k != "state_dict"}


def test_all_of_it_is_read(tmp_path: Path) -> None:
    data = hostile_files.legacy(content())
    assert data.startswith(old_torch_file.START)
    path = hostile_files.write(tmp_path / "epoch_64.pt", data)
    for read in (read_weights, lambda p: weights.read("x", p)):
        check_same(read(path), content())
    check_same(weights.read("x", BytesIO(data)), content())
    # As torch's own reader, views share memory.
    state = weights.read_state("x", path)
    state["plain"].fill_(7)
    assert (state["tied"] == 7).all() and (state["columns"] == 7).all()


def refused(data: bytes) -> str:
    with pytest.raises(ValueError, match=r"^x: ") as caught:
        weights.read("x", BytesIO(data))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cut_anywhere_it_is_refused() -> None:
    data = hostile_files.legacy({"a": torch.arange(4.0), "b": torch.arange(3)})
    for length in range(len(data)):
        refused(data[:length])


def edited(old: bytes, new: bytes) -> bytes:
    data = hostile_files.legacy({"a": torch.arange(4.0)})
    assert old in data
    return data.replace(old, new)


def listed(keys: Callable[[list[str]], list]) -> bytes:
    """The file with another list of storages, which stands in front of their bytes."""
    data = hostile_files.legacy({"a": torch.arange(4.0)})
    storages = 8 + 16
    start = data.rindex(b"\x80\x02", 0, len(data) - storages)
    own = pickle.loads(data[start:-storages])
    return data[:start] + pickle.dumps(keys(own), protocol=2) + data[-storages:]


COUNT = struct.pack("<q", 4)
SIZE = b"K\x00K\x04\x85"  # offset 0, (4,)
HUGE = b"\x8a\x08" + struct.pack("<q", 10**12)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: edited(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "byte order"),
        (lambda: edited(b"M\xe9\x03.", b"M\xe8\x03."), "damaged pickle"),  # version 1000
        (lambda: edited(COUNT, struct.pack("<q", 3)), "cut short, or a storage"),
        (lambda: edited(COUNT, struct.pack("<q", -1)), "cut short, or a storage"),
        (lambda: edited(SIZE, b"K\x01K\x04\x85"), "beyond its storage"),
        (lambda: edited(SIZE, b"J\xff\xff\xff\xffK\x04\x85"), "impossible shape"),
        (lambda: edited(SIZE, b"K\x00" + HUGE + b"\x85"), "more than the file can hold"),
        (lambda: edited(SIZE, b"K\x00G?\xf0\0\0\0\0\0\0\x85"), "impossible shape"),  # 1.0
        (lambda: edited(b"K\x04Nt", HUGE + b"Nt"), "more than the file can hold"),
        (lambda: listed(lambda keys: []), "not those that it lists"),
        (lambda: listed(lambda keys: [*keys, *keys]), "not those that it lists"),
        (lambda: listed(lambda keys: [*keys, "other"]), "not those that it lists"),
        (lambda: listed(lambda keys: [int(keys[0])]), "not those that it lists"),
        (lambda: hostile_files.legacy({"a": hostile_files.Bomb("old")}), "only tensors and plain"),
        (lambda: hostile_files.legacy(torch.nn.Linear(1, 1)), "only tensors and plain"),
    ],
)
def test_what_it_claims_is_checked(data: Callable[[], bytes], message: str) -> None:
    assert message in refused(data())
    assert not hostile_files.RAN
