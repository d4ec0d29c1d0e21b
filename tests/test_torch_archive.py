"""Zip archives: those of torch.save against torch's own reader, and TorchScript's parameters."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from cyclip_pl import weights
from tests.helpers import hostile_files
from tests.helpers.hostile_files import torch_file


class Towers(nn.Module):
    """Parameters, buffers, nested modules and a tied weight, as scripting keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.second = nn.Linear(4, 3, bias=False).half()
        self.sizes: list[int] = [1, 2]
        self.register_buffer("input_resolution", torch.tensor(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) * self.sizes[0]


def script(module: nn.Module) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


@pytest.mark.parametrize("mmap", [True, False])
def test_parameters_of_torch_script_are_those_of_its_own_reader(tmp_path: Path, mmap: bool) -> None:
    module = Towers()
    path = hostile_files.write(tmp_path / "ViT.pt", script(module))
    found = weights.read("x", path, mmap)["state_dict"]
    wanted = module.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype, name
    assert weights.read_state("x", path).keys() == wanted.keys()


def test_code_of_torch_script_is_not_read(tmp_path: Path) -> None:
    """Whatever stands there, since only tensors are taken."""
    source, changed = io.BytesIO(script(nn.Linear(2, 2))), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(changed, "w") as new:
        for record in old.infolist():
            is_code = "/code/" in record.filename
            new.writestr(record.filename, b"not code" if is_code else old.read(record))
    assert set(weights.read("x", changed)["state_dict"]) == {"weight", "bias"}


def saved(content: object, **settings: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **settings)  # type: ignore[arg-type]
    return file.getvalue()


def test_what_torch_saves_is_what_torch_loads(tmp_path: Path) -> None:
    table = torch.arange(12.0).view(3, 4)
    content = {
        "tensors": [table, table[1:], table.T, table[:, ::2], torch.tensor(1.5), torch.empty(0, 2)],
        "types": {str(t): torch.arange(3).to(t) for t in (torch.uint16, torch.float8_e4m3fn)},
        "plain": {"a": (1, 2.5, None, True, "ä"), 3: [-1, 2**40], "size": torch.Size([2, 3])},
        "dtype": torch.float16,
        "parameter": nn.Parameter(torch.ones(2)),
    }
    path = hostile_files.write(tmp_path / "x.pt", saved(content))
    theirs = torch.load(path, weights_only=True)
    for mmap in (True, False):
        ours = weights.read("x", path, mmap)
        for one, other in zip(ours["tensors"], theirs["tensors"], strict=True):
            assert torch.equal(one, other) and one.stride() == other.stride()
        assert {k: v.tolist() for k, v in ours["types"].items() if v.dtype == torch.uint16} == {
            "torch.uint16": [0, 1, 2]
        }
        assert all(v.dtype == theirs["types"][k].dtype for k, v in ours["types"].items())
        assert ours["plain"] == theirs["plain"] and ours["dtype"] is torch.float16
        assert torch.equal(ours["parameter"], torch.ones(2))
        ours["tensors"][0].fill_(9)  # views share memory; the file stays
        assert (ours["tensors"][1] == 9).all()
    assert torch.equal(weights.read("x", path)["tensors"][0], table)


def test_a_tensor_of_a_file_is_saved_without_the_rest_of_it(tmp_path: Path) -> None:
    content = {"small": torch.ones(2), "large": torch.zeros(10**5)}
    path = hostile_files.write(tmp_path / "x.pt", saved(content))
    for mmap in (True, False):
        assert len(saved(weights.read("x", path, mmap)["small"])) < 5000


STATE = {"a": torch.ones(4)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch_file(STATE, lambda n, d: b"big" if n == "byteorder" else d), "'big'-endian"),
        (torch_file(STATE, lambda n, d: d[:-1] if n == "0" else d), "more than its record"),
        (torch_file(STATE, lambda n, d: d[:-9] if n == "data.pkl" else d), "damaged pickle"),
        (torch_file(STATE, lambda n, d: d + d if n == "data.pkl" else d), None),
        (torch_file(STATE).replace(b"data/0", b"data/9"), "its record 'data/0' is missing"),
        (torch_file(STATE).replace(b"data.pkl", b"data.pxl"), "not a file of torch.save"),
        (saved(STATE, _use_new_zipfile_serialization=False)[:-1], "cut short"),
        (script(nn.Linear(2, 2)).replace(b"data/1", b"data/9"), "its record 'data/1' is missing"),
    ],
)
def test_what_it_claims_is_checked(data: bytes, message: str | None) -> None:
    if message is None:  # what stands behind the end of a pickle is not read
        assert torch.equal(weights.read("x", io.BytesIO(data))["a"], STATE["a"])
        return
    with pytest.raises(ValueError, match=r"^x: ") as caught:
        weights.read("x", io.BytesIO(data))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_checksum_that_differs_is_told(tmp_path: Path) -> None:
    """Of weights to start from, as of checkpoints."""
    data = bytearray(saved(STATE))
    place = data.index(torch.ones(4).numpy().tobytes())
    data[place] ^= 1
    path = hostile_files.write(tmp_path / "x.pt", bytes(data))
    with pytest.raises(ValueError, match=r"^x: damaged: the checksum of its record .*data/0 diff"):
        weights.read_state("x", path)
