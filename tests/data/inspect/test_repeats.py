import numpy as np

from cyclip_pl.data.inspect.repeats import Repeats, digest


def hashes(*values: str) -> np.ndarray:
    return np.frombuffer(b"".join(digest(value.encode()) for value in values), np.uint64)


def test_values_that_were_there_before() -> None:
    found = Repeats()
    found.add(hashes("a", "b", "a"))
    found.add(hashes())
    found.add(hashes("a", "c", "b"))
    assert found.count() == 3
    assert found.exact


def test_nothing_is_not_repeated() -> None:
    assert Repeats().count() == 0


def test_beyond_the_capacity_it_estimates() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 63, 40_000, dtype=np.uint64)
    found = Repeats(capacity=4_000)
    found.add(values)
    found.add(values[:20_000])
    # One value in ten is kept; three standard deviations of 2,000 among 20,000 are 640.
    assert abs(found.count() - 20_000) < 1_500
    assert not found.exact
    assert len(found._hashes) <= 4_000


def test_one_value_of_many_rows_takes_no_room() -> None:
    found = Repeats(capacity=10)
    for _ in range(5):
        found.add(hashes(*["same"] * 1000))
    assert (found.count(), found.exact) == (4_999, True)
