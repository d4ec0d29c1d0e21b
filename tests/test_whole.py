"""Damage anywhere in a file: it is refused, or the tensors are the original's."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch

from cyclip_pl.checkpoints.files import read_weights
from cyclip_pl.weights import read_state
from cyclip_pl.whole import damage

CONTENT = {
    "state_dict": {"a.weight": torch.randn(8, 4), "b": torch.arange(5), "c": torch.ones(3).half()},
    "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}}],
    "config": {"encoder": {"image_size": 32}},
    "global_step": 3,
}


@pytest.fixture(scope="module")
def original() -> bytes:
    file = BytesIO()
    torch.save(CONTENT, file)
    return file.getvalue()


def _refused_or_equal(path: Path, content: bytes) -> bool:
    """Whether the file is refused; if not, its content must be the original's."""
    path.write_bytes(content)
    try:
        found = read_weights(path)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert message.startswith(f"{path}: ") and "\n" not in message
        return True
    assert found["global_step"] == 3 and found["config"] == CONTENT["config"]
    for name, tensor in CONTENT["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor), name
    assert found["optimizer_states"][0]["state"][0]["step"] == 3
    return False


def test_the_original_is_whole(tmp_path: Path, original: bytes) -> None:
    assert not _refused_or_equal(tmp_path / "x.ckpt", original)
    assert damage(BytesIO(original)) is None


def test_a_flipped_byte_anywhere(tmp_path: Path, original: bytes) -> None:
    """One bit or all eight, at every third byte; the padding between records may be anything."""
    draw = random.Random(0)
    refused = 0
    for place in range(0, len(original), 3):
        damaged = bytearray(original)
        damaged[place] ^= draw.choice([1, 16, 128, 255])
        refused += _refused_or_equal(tmp_path / "x.ckpt", bytes(damaged))
    assert refused > 100


def test_every_flipped_byte_of_a_record_is_refused(tmp_path: Path, original: bytes) -> None:
    with zipfile.ZipFile(BytesIO(original)) as archive:
        record = next(r for r in archive.infolist() if r.filename.endswith("data/0"))
        data = archive.read(record)
    start = original.index(data)
    for place in range(start, start + len(data)):
        damaged = bytearray(original)
        damaged[place] ^= 1
        assert _refused_or_equal(tmp_path / "x.ckpt", bytes(damaged))


def test_truncated_at_many_lengths(tmp_path: Path, original: bytes) -> None:
    for length in range(0, len(original), 7):
        assert _refused_or_equal(tmp_path / "x.ckpt", original[:length]), length


@pytest.mark.parametrize("garbage", [b"\0", b"x" * 100, b"PK\5\6" + b"\0" * 18, b"\xff" * 70_000])
def test_with_garbage_behind_or_before_it(tmp_path: Path, original: bytes, garbage: bytes) -> None:
    _refused_or_equal(tmp_path / "x.ckpt", original + garbage)
    _refused_or_equal(tmp_path / "x.ckpt", garbage + original)


def test_a_block_of_zeros_is_refused(tmp_path: Path) -> None:
    """As a file system leaves it after a power failure."""
    torch.save({"w": torch.ones(100_000)}, path := tmp_path / "x.ckpt")
    content = bytearray(path.read_bytes())
    content[200_000:204_096] = bytes(4096)
    path.write_bytes(content)
    assert "the checksum of its record" in str(damage(path))


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path, original: bytes) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(original)
    assert damage(path) is None
    path.write_bytes(original[:-1])
    assert damage(path) is not None
    assert damage(tmp_path / "none") == "No such file or directory"


@pytest.mark.parametrize("read", [read_weights, lambda path: read_state(str(path), path)])
def test_a_damaged_list_of_records_is_one_line(
    tmp_path: Path, original: bytes, read: Callable[[Path], object]
) -> None:
    """Several bytes at once: for these zipfile raises many types."""
    path, rng, lines = tmp_path / "x.ckpt", random.Random(0), []
    for _ in range(2500):
        damaged = bytearray(original)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged) - 600, len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as error:  # any other type fails the test
            lines.append(str(error))
    assert len(lines) > 2000
    assert all(line.startswith(str(path)) and "\n" not in line for line in lines)


def test_a_list_that_stands_nowhere(original: bytes) -> None:
    """One byte of its place: behind a URL, where bytes are in memory, an OverflowError."""
    for high in range(128, 256):
        damaged = bytearray(original)
        damaged[-43] = high
        assert damage(BytesIO(damaged)) is not None
