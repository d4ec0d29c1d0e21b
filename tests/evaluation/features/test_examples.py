from __future__ import annotations

from pathlib import Path

import torch

from cyclip_pl.evaluation.features.examples import bits, cut, hits, spread
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.sets.captions import CaptionSet
from tests.helpers.evaluation_sets import TinyNet, caption_set


def test_spread_is_even_and_has_no_number_twice() -> None:
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(3, 8) == [0, 1, 2]
    assert spread(0, 8) == []
    assert all(len(set(spread(n, 8))) == min(n, 8) for n in range(40))


def test_bits_are_read_back_in_order() -> None:
    right = torch.tensor([True, False, False, True, False, False, False, False, True])
    assert bits(right) == "9080"
    assert bits(right[:0]) == ""


def test_long_texts_are_cut() -> None:
    assert cut("x" * 300) == "x" * 300
    assert cut("x" * 301) == "x" * 299 + "…"


def test_hits_name_the_images_they_are_about(tmp_path: Path) -> None:
    def of(name: str, captions: int, broken: list[int], right: list[bool]) -> dict:
        folder = caption_set(tmp_path / name, [["a"]] * captions, broken)
        dataset = CaptionSet(folder)
        images = FeatureStore(TinyNet()).images(dataset)
        return hits(dataset, images, {"r1": torch.tensor(right)})

    first = of("a", 4, [], [True, False, True, True])
    assert first["count"] == 4 and first["images"] == {"r1": "b0"}
    assert of("copy", 4, [], [False] * 4)["set"] == first["set"]
    assert of("broken", 4, [3], [True] * 3)["set"] != first["set"]
    assert of("longer", 5, [], [True] * 5)["set"] != first["set"]
