"""The corpora of studies: captions of other images, and clip art."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.helpers.processes import ROOT

NOISE = run_path(str(ROOT / "experiments/noise/shards.py"))
CLIPART = run_path(str(ROOT / "experiments/transfer/clipart.py"))


@pytest.mark.parametrize("percent", [0, 10, 50])
def test_a_share_of_the_samples_has_the_captions_of_others(percent: int) -> None:
    samples: dict[str, Any] = {
        str(n): {"png": b"%d" % n, "txt": b"t%d" % n, "json": json.dumps({"captions": [n], "x": n})}
        for n in range(40)
    }
    found = NOISE["shuffled"](samples, percent)
    about = {key: json.loads(members["json"]) for key, members in found.items()}
    changed = [n for n in range(40) if about[str(n)]["captions"] != [n]]
    assert len(changed) == 40 * percent / 100
    assert sorted(one["captions"][0] for one in about.values()) == list(range(40))
    assert all(found[str(n)]["png"] == b"%d" % n and about[str(n)]["x"] == n for n in range(40))
    texts = [found[str(n)]["txt"] == b"t%d" % about[str(n)]["captions"][0] for n in range(40)]
    assert all(texts)


def test_captions_of_clip_art(tmp_path: Path) -> None:
    folder = tmp_path / "art"
    (folder / "food" / "fresh_fruit").mkdir(parents=True)
    for number in range(7):
        about = PngInfo()
        about.add_text("Title", "Lime  (Whole)")
        about.add_text("Description", "A lime." if number else "Lime (Whole)")
        path = folder / "food" / "fresh_fruit" / f"lime_whole_0{number}.png"
        Image.new("RGBA", (300, 200)).save(path, pnginfo=about)
    Image.new("RGB", (9, 9)).save(folder / "no_title.png")
    (folder / "again.png").symlink_to(folder / "food" / "fresh_fruit" / "lime_whole_00.png")
    rows = list(CLIPART["rows"](folder, tmp_path))
    of_first = [text for image, text in rows if image == rows[0][0]]
    assert of_first == ["Lime (Whole)", "lime whole", "Lime (Whole), food fresh fruit"]
    assert len({image for image, _ in rows}) == CLIPART["MOST_OF_A_TITLE"]
    assert "A lime." in [text for _, text in rows]
    with Image.open(tmp_path / rows[0][0]) as small:
        assert small.size == (128, 85)
