"""Thousands of damaged tars, plain and compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cyclip_pl.data.shard_reader import BrokenShard, ShardReader
from tests.helpers.lost_samples import IMAGES, WHOLE, lost_and_read
from tests.helpers.tars import mutated

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("faults", [1, 3])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_nothing_is_lost_in_silence(tmp_path: Path, format: int, faults: int) -> None:
    checked: Counter[str] = Counter()
    for seed in range(1500):
        rng, data, all_faults = random.Random(seed), WHOLE[format], []
        for _ in range(faults):
            what, data = mutated(data, rng) if data else ("", data)
            all_faults.append(what)
        checked[lost_and_read(tmp_path / "x.tar", data, f"seed {seed}: {all_faults}")] += 1
    assert checked["told"] > 500


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compression_hides_no_fault(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A checksum guards every byte: what is not told is read as it was."""
    whole = pack(WHOLE[tarfile.USTAR_FORMAT])
    for seed in range(1500):
        what, data = mutated(whole, random.Random(seed))
        (tmp_path / "x.tar").write_bytes(data)
        found = []
        try:
            for sample in ShardReader("txt")(str(tmp_path / "x.tar"), "0"):
                found.append(sample)
        except BrokenShard:
            continue
        assert {s.key: s.image for s in found} == IMAGES, f"seed {seed}: {what}"
