"""Tars with one fault each: what is read and what is told as lost are all samples together."""

from __future__ import annotations

import random
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.lost_samples import WHOLE, lost_and_read
from tests.helpers.tars import mutated


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_nothing_is_lost_in_silence(tmp_path: Path, format: int) -> None:
    checked: Counter[str] = Counter()
    for seed in range(150):
        what, data = mutated(WHOLE[format], random.Random(seed))
        checked[lost_and_read(tmp_path / "x.tar", data, f"seed {seed}: {what}")] += 1
    assert checked["told"] > 50
