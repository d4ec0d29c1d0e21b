"""Examples with images: what is read from details, and what a stranger's details may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cyclip_pl.reports import galleries
from cyclip_pl.reports.galleries import Confusion
from cyclip_pl.reports.runs import read_runs
from tests.helpers.run_folders import plausible_run, write_run


def test_queries_stand_side_by_side(two_runs: list[Path]) -> None:
    birds, cars = galleries.retrieval(read_runs(two_runs))
    assert (birds.title, cars.title) == ("birds/retrieval", "cars/retrieval")
    (query,) = birds.queries
    assert query.text == "a birds" and query.tile is not None
    assert query.tile.image.startswith("data:image/webp;base64,UklGR")
    assert [(strip.run, strip.note) for strip in query.strips] == [
        ("low", "rank 2"),
        ("high", "rank 2"),
    ]
    right, other = query.strips[0].tiles
    assert right.right and right.text == "0.25" and right.image == query.tile.image
    assert not other.right and other.text == "–" and other.image == ""
    assert galleries.neighbours(read_runs(two_runs)) == []


def test_mistakes_and_confused_classes(two_runs: list[Path]) -> None:
    runs = read_runs(two_runs)
    (tile,) = galleries.failures(runs)[0].queries[0].strips[1].tiles
    assert tile.text == "x (is birds), +0.30"
    birds, cars = galleries.confusions(runs)
    assert birds.confusions == (Confusion("birds", "x", ("7", "7")),)
    assert cars.confusions == (Confusion("cars", "x", ("7", "–")),)


def test_real_evaluations_have_every_example(real_runs: list[Path]) -> None:
    runs = read_runs(real_runs)
    for collect in (galleries.retrieval, galleries.neighbours, galleries.failures):
        shown = collect(runs)
        tiles = [t for g in shown for q in g.queries for strip in q.strips for t in strip.tiles]
        assert len(tiles) > 8 and all(tile.image and tile.text for tile in tiles)
        assert all(len(query.strips) == 2 for g in shown for query in g.queries)
    assert galleries.confusions(runs)[0].confusions


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gallery", 3, "gallery must be a list of at most 64"),
        ("gallery", [3], "gallery must have entries"),
        ("gallery", [{"rank": 1}], "gallery.image must be a text"),
        ("gallery", [{"rank": 1, "image": "1", "text": "x" * 1001}], "gallery.text must be a text"),
        ("gallery", [{"rank": 1, "image": "1", "text": "", "found": 1}], "found must be a list"),
        ("gallery", [{"rank": 1, "image": "1", "text": "", "found": [1]}], "found must have"),
        ("gallery", [{"rank": "x", "image": "1", "text": ""}], "rank must be a number"),
    ],
)
def test_malformed_details_are_one_line(
    name: str, content: Any, message: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "r", {"s/retrieval/r1": 1}, {"s/retrieval": {name: content}})
    with pytest.raises(ValueError, match=f"s_retrieval.json: .*{message}") as caught:
        galleries.retrieval(read_runs([run]))
    assert "\n" not in str(caught.value)


def test_only_small_images_of_the_details_folder_are_shown(tmp_path: Path) -> None:
    run = plausible_run(tmp_path / "r")
    folder = run / "details/birds_retrieval"
    (tmp_path / "secret.webp").write_bytes((folder / "3.webp").read_bytes())
    file = run / "details/birds_retrieval.json"
    details = json.loads(file.read_text())
    details["gallery"][0]["image"] = "../../../secret"
    file.write_text(json.dumps(details))
    (folder / "3.webp").write_bytes(b"<svg onload='alert(1)'/>")
    (gallery,) = galleries.retrieval(read_runs([run]))
    assert gallery.queries[0].tile is not None and gallery.queries[0].tile.image == ""
    assert gallery.queries[0].strips[0].tiles[0].image == ""
    (folder / "3.webp").write_bytes(b"RIFF0000WEBP" + b"x" * 70_000)
    with pytest.raises(ValueError, match=r"3\.webp has more than 65,536 bytes"):
        galleries.retrieval(read_runs([run]))
