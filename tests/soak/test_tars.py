"""Thousands of damaged tars, plain and compressed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cyclip_pl.data.shard_reader import BrokenShard, ShardReader
from cyclip_pl.data.shard_sizes import shard_sizes
from tests.helpers.lost_samples import IMAGES, WHOLE, lost_and_read
from tests.helpers.tars import BLOCK, mutated, restamped

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
            for sample in ShardReader(("txt",))(str(tmp_path / "x.tar"), "0"):
                found.append(sample)
        except BrokenShard:
            continue
        assert {s.key: s.image for s in found} == IMAGES, f"seed {seed}: {what}"


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_made_to_deceive(tmp_path: Path, format: int) -> None:
    """With right checksums: every tar comes to an end, with samples or with a line."""
    whole = WHOLE[format]
    headers = [at for at in range(0, len(whole), BLOCK) if whole[at + 257 : at + 262] == b"ustar"]
    for seed in range(3000):
        rng, data = random.Random(seed), bytearray(whole)
        for at in rng.sample(headers, 3):
            for place in [*rng.sample(range(BLOCK), 3), 124 + rng.randrange(12), 156]:
                data[at + place] = rng.choice(
                    [0, 0x80, 0xFF, *b"012357gxLKSVM -=/.", rng.randrange(256)]
                )
            data[at : at + BLOCK] = restamped(data[at : at + BLOCK])
        path = tmp_path / "x.tar"
        path.write_bytes(data)
        for source in (str(path), f"pipe:cat {path}") if seed % 50 == 0 else (str(path),):
            with contextlib.suppress(BrokenShard):
                assert len(list(ShardReader(("txt",))(source, "0"))) <= len(headers)
        shard_sizes([str(path)])
