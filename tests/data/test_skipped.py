import logging

from cyclip_pl.data.skipped import SkipCounter


def test_counts_start_again_and_the_description_does_not() -> None:
    counter = SkipCounter()
    counter.add("missing image", "0.tar a")
    counter.add("broken shard", "1.tar", "cut", count=5)
    assert counter.take() == {"missing image": 1, "broken shard": 5}
    assert counter.take() == {}
    counter.add("missing image", "0.tar b")
    assert counter.take() == {"missing image": 1}
    assert counter.describe() == "skipped: broken shard 5, missing image 2"


def test_the_first_of_each_reason_is_named_once(caplog) -> None:
    counter = SkipCounter()
    with caplog.at_level(logging.WARNING):
        for key in "abc":
            counter.add("missing image", f"0.tar {key}")
            counter.add("undecodable image", f"0.tar {key}", "not an image")
            counter.take()
    assert [record.getMessage() for record in caplog.records] == [
        "skipped (missing image): 0.tar a; further ones are counted, not listed",
        "skipped (undecodable image): 0.tar a (not an image); further ones are counted, not listed",
    ]
