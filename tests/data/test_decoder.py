from __future__ import annotations

import json

import pytest

from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.images import Undecodable
from tests.data.shards import png
from tests.helpers.images import bomb


def raw(
    image: bytes | None = png(0), caption: bytes | None = b"a cat", member: str = "txt"
) -> RawSample:
    texts = {} if caption is None else {member: caption}
    return RawSample("a", "0.tar", image, texts, ())


def test_text() -> None:
    image, captions = Decoder()(raw(caption=" ein Kätzchen\n".encode()))
    assert image.size == (8, 8) and captions == {"txt": ["ein Kätzchen"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a cat ", ["a cat"]), (["a", " ", "b"], ["a", "b"])],
)
def test_json(value: object, expected: list[str]) -> None:
    data = json.dumps({"captions": value, "other": 1}).encode()
    assert Decoder("captions")(raw(caption=data, member="json"))[1] == {"captions": expected}


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (raw(image=None), "missing image"),
        (raw(caption=None), "missing caption"),
        (raw(caption=b" \n"), "empty caption"),
        (raw(caption=b"\xff\xfe"), "unreadable caption"),
        (raw(image=b"not an image"), "undecodable image"),
        (raw(image=png(0)[:40]), "undecodable image"),
        (raw(image=bomb(60_000, 60_000)), "image too large"),
    ],
)
def test_reasons(sample: RawSample, reason: str) -> None:
    with pytest.raises((SkippedSample, Undecodable)) as caught:
        Decoder()(sample)
    assert caught.value.reason == reason and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "unreadable json"),
        (b"\xff{}", "unreadable json"),
        (b"[" * 100_000, "unreadable json"),
        (b"[]", "missing caption"),
        (b'{"x": "a"}', "missing caption"),
        (b'{"captions": null}', "missing caption"),
        (b'{"captions": 3}', "missing caption"),
        (b'{"captions": ["a", 3]}', "missing caption"),
        (b'{"captions": []}', "empty caption"),
        (b'{"captions": ""}', "empty caption"),
    ],
)
def test_json_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(SkippedSample) as caught:
        Decoder("captions")(raw(caption=data, member="json"))
    assert caught.value.reason == reason


def test_endless_captions_are_cut() -> None:
    (caption,) = Decoder().captions({"txt": b"word " * 1_000_000})["txt"]
    assert len(caption) == 10_000


def test_expectations_name_the_setting() -> None:
    assert ".txt" in Decoder().expects()
    assert "data.caption_key=captions" in Decoder("captions").expects()
