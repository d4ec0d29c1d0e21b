from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from PIL import Image

from cyclip_pl.data.decode_cache import DecodeCache


def decoder(calls: list[str]) -> Any:
    def decode(sample: Any) -> tuple[Image.Image, list[str]]:
        calls.append(f"{sample.url}{sample.place}")
        return Image.new("RGB", (4, 4)), calls[-1:]

    return decode


def test_each_sample_is_decoded_once_while_there_is_room() -> None:
    calls: list[str] = []
    remember = DecodeCache(decoder(calls), budget=2 * 4 * 16)
    for _ in range(3):
        for url, place in (("x", 1), ("y", 1), ("x", 2)):
            sample: Any = SimpleNamespace(url=url, key="same", place=place)
            assert remember(sample)[1] == [f"{url}{place}"]
    assert calls == ["x1", "y1", "x2", "x2", "x2"]
