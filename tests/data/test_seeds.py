import hashlib
import subprocess
import sys

import numpy as np
import pytest

from cyclip_pl.data.seeds import generator


def test_parts_name_the_generator() -> None:
    first = generator("sample", 0, 1, "a.tar/key").random(4).tolist()
    assert generator("sample", 0, 1, "a.tar/key").random(4).tolist() == first
    for other in [("sample", 1, 1, "a.tar/key"), ("sample", 0, 11, "a.tar/key"), ("buffer", 0, 1)]:
        assert generator(*other).random(4).tolist() != first


def test_parts_do_not_run_together() -> None:
    assert generator("a", 1, 23).random() != generator("a", 12, 3).random()


def test_it_is_philox_with_the_key_of_the_parts() -> None:
    key = hashlib.blake2b(b"sample\x003\x00a.tar/key", digest_size=16).digest()
    philox = np.random.Philox(key=np.frombuffer(key, dtype="<u8"))
    ours, theirs = generator("sample", 3, "a.tar/key"), np.random.Generator(philox)
    assert np.array_equal(ours.random(9), theirs.random(9))
    assert np.array_equal(ours.integers(7, size=9), theirs.integers(7, size=9))
    assert np.array_equal(ours.permutation(9), theirs.permutation(9))


def test_odd_names() -> None:
    generator("sample", "\udcff \U0001f600").random()


@pytest.mark.slow
def test_other_processes_agree() -> None:
    code = "from cyclip_pl.data.seeds import generator; print(generator('x', 3).random())"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert float(printed) == generator("x", 3).random()
