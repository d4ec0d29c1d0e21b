import numpy as np
import pytest

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.shuffle import shuffled


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("length", [0, 1, 5, 200])
def test_each_item_once(length: int, size: int) -> None:
    assert sorted(shuffled(range(length), size, generator("t"))) == list(range(length))


def test_size_one_keeps_the_order() -> None:
    assert list(shuffled(range(50), 1, generator("t"))) == list(range(50))


def test_seeds_tell() -> None:
    orders = [list(shuffled(range(50), 20, generator("t", seed))) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_never_holds_more_than_its_size() -> None:
    taken = 0

    def source():
        nonlocal taken
        for item in range(300):
            taken += 1
            yield item

    for given, _ in enumerate(shuffled(source(), 40, generator("t")), start=1):
        assert taken - given <= 40


def test_a_large_buffer_mixes_all() -> None:
    # The mean displacement of a random permutation of n is about n / 3.
    order = np.array(list(shuffled(range(3000), 3000, generator("t"))))
    assert np.abs(order - np.arange(3000)).mean() > 500
