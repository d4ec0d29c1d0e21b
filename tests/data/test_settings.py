import pytest

from cyclip_pl.data.settings import Shuffle, Source, TrainSource


def test_one_source_without_weights() -> None:
    assert TrainSource("/d/{0..1}.tar").sources() == [Source(("/d/0.tar", "/d/1.tar"))]
    several = ["/a/0.tar", "/b/{0..1}.tar", {"shards": ["/c/0.tar"]}]
    assert TrainSource(several).sources() == [
        Source(("/a/0.tar", "/b/0.tar", "/b/1.tar", "/c/0.tar"))
    ]


def test_weighted_sources() -> None:
    shards = [{"shards": "/a/0.tar", "weight": 3}, {"shards": "/b/{0..1}.tar", "weight": 0.5}]
    assert TrainSource(shards, resampled=True).sources() == [
        Source(("/a/0.tar",), 3.0),
        Source(("/b/0.tar", "/b/1.tar"), 0.5),
    ]


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        (
            [{"shards": "/a/0.tar", "weight": 1}],
            "weights have no meaning .* set data.train.resampled=true",
        ),
        (["/a/0.tar", "/b/0.tar", "/a/0.tar"], "'/a/0.tar' is listed twice"),
        ([3], "is not a path, a URL"),
        ([{"shard": "/a/0.tar"}], "is not a path, a URL"),
        ([{"shards": "/a/0.tar", "wight": 1}], "is not a path, a URL"),
        ([{"shards": [3]}], "holds more than paths and URLs"),
        ([], "data.train.shards is empty"),
    ],
)
def test_refusals(shards: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSource(shards).sources()  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "2", True])
def test_a_weight_is_a_positive_number(weight: object) -> None:
    with pytest.raises(ValueError, match="weight=.*: must be a number above 0"):
        TrainSource([{"shards": "/a/0.tar", "weight": weight}], resampled=True).sources()


def test_all_weights_or_none() -> None:
    with pytest.raises(ValueError, match="give one to all or to none"):
        TrainSource([{"shards": "/a/0.tar", "weight": 1}, "/b/0.tar"], resampled=True).sources()


def test_the_length_of_an_epoch_is_for_resampling() -> None:
    with pytest.raises(ValueError, match="samples_per_epoch=10: .* set data.train.resampled=true"):
        TrainSource("/a/0.tar", samples_per_epoch=10)
    with pytest.raises(ValueError, match="samples_per_epoch=0: must be"):
        TrainSource("/a/0.tar", resampled=True, samples_per_epoch=0)


def test_buffer() -> None:
    with pytest.raises(ValueError, match="data.shuffle.buffer"):
        Shuffle(buffer=0)
