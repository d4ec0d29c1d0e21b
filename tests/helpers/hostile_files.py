"""Files that look like checkpoints, made to run code or to fill the memory."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

RAN: list[str] = []


def run(name: str) -> None:
    """What the files below would call."""
    RAN.append(name)


class Bomb:
    """Calls `run` where it is unpickled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return run, (self.name,)


def torch_file(content: Any, edit: Callable[[str, bytes], bytes] = lambda _, data: data) -> bytes:
    """A file of `torch.save`, its records changed by `edit`."""
    plain, changed = io.BytesIO(), io.BytesIO()
    torch.save(content, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(changed, "w") as target:
        for record in source.infolist():
            name = record.filename
            target.writestr(name, edit(name.rpartition("/")[2], source.read(record)))
    return changed.getvalue()


def legacy(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def malicious() -> dict[str, bytes]:
    """Files of every kind that hold a `Bomb`."""
    bomb = pickle.dumps(Bomb("pickle"), protocol=2)
    array = io.BytesIO()
    np.save(array, np.array([Bomb("npy")], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, a=np.array([Bomb("npz")], dtype=object))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as members:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(bomb)
            members.addfile(info, io.BytesIO(bomb))
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), script)
    state = {"state_dict": {"a": torch.ones(2)}, "scale": 1.0}
    return {
        "pickle": bomb,
        "newest pickle": pickle.dumps(Bomb("newest"), protocol=5),
        "legacy torch": legacy({**state, "config": Bomb("legacy")}),
        "legacy tar": tar.getvalue(),
        "npy": array.getvalue(),
        "npz": archive.getvalue(),
        "TorchScript": script.getvalue(),
        "zip": torch_file({**state, "config": Bomb("zip")}),
        "zip of a pickle": torch_file(state, lambda n, data: bomb if n == "data.pkl" else data),
        "numpy array": torch_file({**state, "config": np.array([Bomb("array")], dtype=object)}),
        "storage": torch_file(state, lambda n, data: bomb if n == "0" else data),
        "a whole module": torch_file(torch.nn.Linear(1, 1)),
    }


def greedy() -> dict[str, bytes]:
    """Small files of `torch.save` that claim gigabytes."""
    state = {"state_dict": {"a": torch.ones(4)}, "config": {}, "scale": 1.0}
    many = b"\x8a\x08" + struct.pack("<q", 10**12)
    size = b"K\x00K\x04\x85"  # offset 0, (4,)

    def pickled(old: bytes, new: bytes) -> bytes:
        def edit(name: str, data: bytes) -> bytes:
            if name != "data.pkl":
                return data
            assert old in data
            return data.replace(old, new)

        return torch_file(state, edit)

    inflated, overlapping = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10**7))
    with zipfile.ZipFile(overlapping, "w") as archive:
        archive.writestr("x/data/0", bytes(10**5))
        archive.filelist *= 50
    array = b"\x80\x02cbuiltins\nbytearray\n" + many + b"\x85R."
    tensor = b"\x80\x02ctorch\nTensor\n" + many + b"\x85R."
    return {
        "repeated values": pickled(size + b"q\nK\x01", b"K\x00" + many + b"\x85q\nK\x00"),
        "a long storage": pickled(b"K\x04tq", many + b"tq"),
        "deflated": inflated.getvalue(),
        "overlapping": overlapping.getvalue(),
        "bytearray": torch_file(state, lambda n, data: array if n == "data.pkl" else data),
        "tensor": torch_file(state, lambda n, data: tensor if n == "data.pkl" else data),
        "sparse": torch_file(
            {"a": torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (10**12,))}
        ),
        "meta": torch_file({"a": torch.empty(10**12, device="meta")}),
    }


def broken_safetensors() -> dict[str, bytes]:
    """Files that end in .safetensors and are not whole."""
    head = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    huge = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 16]}}).encode()
    whole = struct.pack("<Q", len(head)) + head + bytes(16)
    return {
        "empty": b"",
        "short": whole[:5],
        "cut header": whole[:20],
        "cut tensors": whole[:-3],
        "longer": whole + b"x",
        "huge header": struct.pack("<Q", 2**62) + head + bytes(16),
        "not JSON": struct.pack("<Q", 4) + b"{a:}" + bytes(16),
        "huge shape": struct.pack("<Q", len(huge)) + huge + bytes(16),
        "deep": struct.pack("<Q", 6000) + b'{"a":' * 1200 + bytes(16),
        "pickle": pickle.dumps(Bomb("safetensors")),
    }


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
