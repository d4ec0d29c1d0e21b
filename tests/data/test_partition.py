import itertools

import pytest

from cyclip_pl.data.partition import Piece, batches_of_worker, even, pieces, range_of_worker


@pytest.mark.parametrize("total", [7, 64, 101])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_each_sample_has_one_reader_and_each_rank_the_same_batches(
    total: int, ranks: int, workers: int, batch_size: int
) -> None:
    batches = total // ranks // batch_size
    if batches == 0:
        return
    covered = []
    for rank in range(ranks):
        samples = range(*even(total, ranks, rank))
        made = 0
        for worker in range(workers):
            start, stop = range_of_worker(samples, batches, batch_size, workers, worker)
            share = batches_of_worker(batches, workers, worker)
            # Enough for its batches, and nothing to read for those who make none.
            assert stop - start >= share * batch_size
            assert (stop > start) == (share > 0)
            covered += range(start, stop)
            made += share
        assert made == batches
    assert sorted(covered) == list(range(total))


def test_the_loaders_turns_meet_the_shares() -> None:
    for batches, workers in itertools.product(range(1, 12), range(1, 6)):
        turns = [batch % workers for batch in range(batches)]
        shares = [batches_of_worker(batches, workers, w) for w in range(workers)]
        assert shares == [turns.count(w) for w in range(workers)]


def test_pieces_follow_the_order_and_cut_the_shards() -> None:
    assert pieces([2, 0, 1], [3, 5, 4], 2, 9) == [Piece(2, 2, 4), Piece(0, 0, 3), Piece(1, 0, 2)]


def test_pieces_pass_over_empty_shards() -> None:
    assert pieces([0, 1, 2], [2, 0, 2], 0, 4) == [Piece(0, 0, 2), Piece(2, 0, 2)]
    assert pieces([0], [4], 2, 2) == []
