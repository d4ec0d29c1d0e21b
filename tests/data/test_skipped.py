import logging

from cyclip_pl.data.skipped import SkipCounter, of_unknown_size


def test_counts_start_again_and_the_description_does_not() -> None:
    counter = SkipCounter()
    counter.add("missing image", "0.tar", sample="a")
    counter.add("cut shard", "1.tar", "cut", count=5)
    assert counter.take() == {"missing image": 1, "cut shard": 5}
    assert counter.take_shards() == {"missing image": ["0.tar"], "cut shard": ["1.tar"]}
    assert counter.take() == {} == counter.take_shards()
    counter.add("missing image", "0.tar", sample="b")
    assert counter.take() == {"missing image": 1}
    assert counter.describe() == "skipped: cut shard 5, missing image 2"


def test_three_shards_of_each_cause_are_kept() -> None:
    counter = SkipCounter()
    for n in range(9):
        counter.add("cut shard", f"{n % 5}.tar")
    assert counter.take_shards() == {"cut shard": ["0.tar", "1.tar", "2.tar"]}


def test_the_first_sample_of_each_cause_is_named_once(caplog) -> None:
    counter = SkipCounter()
    with caplog.at_level(logging.WARNING):
        for key in "abc":
            counter.add("missing image", "0.tar", sample=key)
            counter.add("undecodable image", "1.tar", "not an image", sample=key)
            counter.take()
    more = "further ones are counted, not listed"
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped (missing image): 0.tar, sample a; {more}",
        f"skipped (undecodable image): 1.tar, sample a (not an image); {more}",
    ]


def test_each_shard_that_breaks_is_named_up_to_twenty(caplog) -> None:
    counter = SkipCounter()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for n in range(30):
                counter.add("cut shard", f"{n}.tar", "cut at byte 512", count=n)
        counter.add(of_unknown_size("cut shard"), "x.tar", "cut at byte 7")
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == 21
    assert found[1] == "skipped (cut shard): 1 sample in 1.tar: cut at byte 512"
    assert found[19].endswith("cut at byte 512; further shards are counted, not listed")
    assert found[20] == (
        "skipped (cut shard of unknown size): an unknown number of samples in x.tar: cut at byte 7"
    )


def test_a_quiet_counter_says_nothing(caplog) -> None:
    SkipCounter(quiet=True).add("cut shard", "0.tar")
    assert not caplog.records
