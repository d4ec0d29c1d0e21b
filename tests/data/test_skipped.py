import logging

from cyclip_pl.data.skipped import Tally


def test_counts_start_again_and_the_description_does_not() -> None:
    tally = Tally()
    tally.add("missing image", "0.tar a")
    tally.add("broken shard", "1.tar", "cut", count=5)
    assert tally.take() == {"missing image": 1, "broken shard": 5}
    assert tally.take() == {}
    tally.add("missing image", "0.tar b")
    assert tally.take() == {"missing image": 1}
    assert tally.describe() == "left out: broken shard 5, missing image 2"


def test_the_first_of_each_reason_is_named_once(caplog) -> None:
    tally = Tally()
    with caplog.at_level(logging.WARNING):
        for key in "abc":
            tally.add("missing image", f"0.tar {key}")
            tally.add("undecodable image", f"0.tar {key}", "not a picture")
            tally.take()
    assert [record.getMessage() for record in caplog.records] == [
        "left out, missing image: 0.tar a; any more are only counted",
        "left out, undecodable image: 0.tar a (not a picture); any more are only counted",
    ]
