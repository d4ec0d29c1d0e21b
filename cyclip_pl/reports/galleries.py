"""Examples with images from the runs' details: what each run found, and what it got wrong."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cyclip_pl.metric_kinds import MISSING
from cyclip_pl.reports.run_files import number, plain, read_bytes
from cyclip_pl.reports.runs import Run, titles

RUNS = 4  # side by side, at most
SETS = 4  # of a kind
_ITEMS = 64  # in a list of details
_IMAGE_BYTES = 64 << 10
_PAIRS = 12  # of classes


@dataclass(frozen=True)
class Tile:
    """A small image: its data URI, empty if it is missing; what is said below it; its frame."""

    image: str
    text: str
    right: bool = False


@dataclass(frozen=True)
class Strip:
    """A run's tiles, and what is said about them."""

    run: str
    note: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Query:
    """What was looked for, and what each run found; `tile` shows the query or its answer."""

    text: str
    tile: Tile | None
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Confusion:
    """A pair of classes: the true one, the predicted one, and the images per run."""

    true: str
    predicted: str
    counts: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """The examples of one data set: queries, or confused pairs with the runs of their columns."""

    title: str
    queries: tuple[Query, ...] = ()
    runs: tuple[str, ...] = ()
    confusions: tuple[Confusion, ...] = ()


def retrieval(runs: Sequence[Run]) -> list[Gallery]:
    """Captions with the images that each run finds first."""
    return _searches(runs, lambda query: "rank" in query)


def neighbours(runs: Sequence[Run]) -> list[Gallery]:
    """Test images with the training images nearest to them."""
    return _searches(runs, lambda query: "rank" not in query)


def failures(runs: Sequence[Run]) -> list[Gallery]:
    """The images that each run is most sure about and wrong."""
    found = []
    for title in titles(runs, lambda run, title: _list(run, title, "failures"))[:SETS]:
        strips = []
        for run in runs[:RUNS]:
            where, items = _named(run, title, "failures")
            tiles = tuple(
                Tile(
                    _image(run, title, _text(one, "image", where)),
                    f"{_text(one, 'predicted', where)} (is {_text(one, 'class', where)}), "
                    f"+{number(one.get('lead'), f'{where}.lead'):.2f}",
                )
                for one in items
            )
            if tiles:
                strips.append(Strip(run.name, "", tiles))
        found.append(Gallery(title, (Query("", None, tuple(strips)),)))
    return found


def confusions(runs: Sequence[Run]) -> list[Gallery]:
    """The pairs of classes most often confused, by the largest count of any run."""
    found = []
    for title in titles(runs, lambda run, title: _list(run, title, "confusions"))[:SETS]:
        counts: dict[tuple[str, str], dict[int, int]] = {}
        for place, run in enumerate(runs[:RUNS]):
            where, items = _named(run, title, "confusions")
            for one in items:
                pair = _text(one, "class", where), _text(one, "predicted", where)
                counts.setdefault(pair, {})[place] = int(
                    number(one.get("images"), f"{where}.images")
                )
        # Below a run's shortest list a pair may have fewer images than it names, or none.
        most = sorted(counts, key=lambda pair: (-max(counts[pair].values()), pair))[:_PAIRS]
        names = tuple(run.name for run in runs[:RUNS])
        rows = tuple(
            Confusion(*pair, tuple(str(counts[pair].get(n, MISSING)) for n in range(len(names))))
            for pair in most
        )
        found.append(Gallery(title, (), names, rows))
    return found


def _searches(runs: Sequence[Run], wanted: Any) -> list[Gallery]:
    def has(run: Run, title: str) -> bool:
        return any(wanted(query) for query in _list(run, title, "gallery"))

    galleries = []
    for title in titles(runs, has)[:SETS]:
        tiles: dict[str, Tile] = {}
        strips: dict[str, list[Strip]] = {}
        texts: dict[str, str] = {}
        for run in runs[:RUNS]:
            where, queries = _named(run, title, "gallery")
            for query in queries:
                image, text = _text(query, "image", where), _text(query, "text", where)
                key = f"{image} {text}"  # runs that saw another set have queries of their own
                texts[key] = text
                tiles.setdefault(key, Tile(_image(run, title, image), "", True))
                rank = query.get("rank")
                note = "" if rank is None else f"rank {number(rank, f'{where}.rank'):,.0f}"
                found = query.get("found")
                if not isinstance(found, list) or len(found) > _ITEMS:
                    raise ValueError(f"{where}.found must be a list of at most {_ITEMS} images")
                of_run = tuple(_found(run, title, one, where) for one in found)
                strips.setdefault(key, []).append(Strip(run.name, note, of_run))
        queries_shown = tuple(Query(texts[key], tiles[key], tuple(strips[key])) for key in strips)
        galleries.append(Gallery(title, queries_shown))
    return galleries


def _found(run: Run, title: str, one: Any, where: str) -> Tile:
    if not isinstance(one, dict):
        raise ValueError(f"{where}.found must have images")
    cosine = one.get("cosine")
    shown = MISSING if cosine is None else f"{number(cosine, f'{where}.cosine'):.2f}"
    text = f"{_text(one, 'text', where)} {shown}" if "text" in one else shown
    return Tile(_image(run, title, _text(one, "image", where)), text, one.get("right") is True)


def _list(run: Run, title: str, name: str) -> list[dict[str, Any]]:
    return _named(run, title, name)[1]


def _named(run: Run, title: str, name: str) -> tuple[str, list[dict[str, Any]]]:
    """(where it is, for messages; the entries) of a list in a title's details."""
    if (found := run.detail(title, name)) is None:
        return "", []
    where, items = found
    if not isinstance(items, list) or len(items) > _ITEMS:
        raise ValueError(f"{where} must be a list of at most {_ITEMS} entries")
    if not all(isinstance(one, dict) for one in items):
        raise ValueError(f"{where} must have entries with names")
    return where, items


def _text(one: dict[str, Any], name: str, where: str) -> str:
    text = one.get(name)
    if not isinstance(text, str) or len(text) > 1000:
        raise ValueError(f"{where}.{name} must be a text of at most 1,000 letters")
    return plain(text)


def _image(run: Run, title: str, name: str) -> str:
    path = run.thumbnail(title, name)
    data = b"" if path is None else read_bytes(path, _IMAGE_BYTES)
    if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return ""
    return f"data:image/webp;base64,{b64encode(data).decode('ascii')}"
