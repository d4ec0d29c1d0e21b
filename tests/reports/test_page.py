"""The page, read by a strict parser; `test_browser.py` looks at it with a browser."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.reports.compare import _PLOTS as PLOTS
from cyclip_pl.reports.compare import compare
from cyclip_pl.reports.groups import groups
from cyclip_pl.reports.headline import headline
from cyclip_pl.reports.page import Page, page
from cyclip_pl.reports.runs import read_runs
from tests.helpers.hostile import HOSTILE
from tests.helpers.run_folders import write_run

VOID = {"meta", "link", "img", "wbr", "br"}
STRUCTURE = {"html", "head", "title", "style", "body", "nav", "section", "div", "figure"}
TEXT = {"h1", "h2", "h3", "p", "a", "strong", "small", "figcaption", "span", "br", "ul", "li"}
TAGS = VOID | STRUCTURE | TEXT | {"table", "thead", "tbody", "tr", "th", "td"}
# Fractions and differences of fractions that have no interval.
UNBOUNDED = ("drop", "effective_robustness", "mean_acc1", "mean_per_class_recall")


class Html(HTMLParser):
    """The page's table and images; raises AssertionError if the page is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.bold: list[str] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        self.text[where] = self.text.get(where, "") + data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if where == "strong":
            self.bold.append(data)

    def images(self) -> list[Image.Image]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                kind, _, data = (attributes["src"] or "").partition(",")
                assert kind == "data:image/webp;base64" and attributes["alt"]
                found.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
        return found


def page_of(folders: list[Path], names: list[str] | None = None) -> Html:
    """The page without plots."""
    runs = read_runs(folders, names)
    table = groups(runs)
    first = headline(runs, table, None, [])
    return Html(page(Page(runs, first, [], table, None, [], [], [], [])))


def test_images_are_those_of_the_files(report: Path) -> None:
    images = Html((report / "report.html").read_text(encoding="utf-8")).images()
    plots = [image for image in images if image.width == 1440]
    files = [Image.open(report / f"{kind.NAME}.png").convert("RGB") for kind in PLOTS]
    assert [p.convert("RGB").tobytes() for p in plots] == [f.tobytes() for f in files]
    thumbnails = [image.size for image in images if image.width != 1440]
    # Of two sets a query and one image found per run, and one failure per run.
    assert thumbnails == [(96, 64)] * (2 + 3 + 3)
    assert (report / "report.html").stat().st_size < 2e6


def test_cells_hold_the_metrics_of_the_runs(real_runs: list[Path]) -> None:
    found = page_of(real_runs, ["one", "two"])
    head, *rows = found.rows
    assert head == ["", "one", "two"]
    shown: dict[str, list[str]] = {}
    for row in rows:
        if len(row) == 1:
            dataset, evaluation = row[0].split(" · ")
        else:
            shown[f"{dataset}/{evaluation}/{row[0].split(' (')[0]}"] = row[1:]

    metrics = [json.loads((run / "metrics.json").read_text()) for run in real_runs]
    keys = set(metrics[0]) | set(metrics[1])
    bounds = {key for key in keys if key.endswith(("_low", "_high"))}
    assert set(shown) == {key for key in keys - bounds if not key.endswith("/skipped")}
    for key, texts in shown.items():
        for of_run, text in zip(metrics, texts, strict=True):
            value, _, interval = text.replace("−", "-").replace(",", "").partition(" [")
            share = f"{key}_low" in of_run
            scale = 100 if share or key.endswith(UNBOUNDED) else 1
            close = 0.0501 if scale == 100 else 6e-4 * abs(of_run[key])
            assert float(value) == pytest.approx(scale * of_run[key], abs=close), key
            assert bool(interval) == share
            if share:
                ends = [float(x) for x in interval.rstrip("]").split()]
                both = [100 * of_run[f"{key}_{bound}"] for bound in ("low", "high")]
                assert ends == pytest.approx(both, abs=0.0501)


def test_the_best_is_bold_where_its_interval_lies_apart(tmp_path: Path) -> None:
    def acc(name: str, value: float) -> dict[str, float]:
        ends = {f"{name}_low": value - 0.02, f"{name}_high": value + 0.02}
        return {f"s/zero_shot/{key}": x for key, x in ({name: value} | ends).items()}

    rank = "s/retrieval/x_median_rank"
    folders = [
        write_run(tmp_path / "a", acc("acc1", 0.25) | acc("acc3", 0.33) | {rank: 3}),
        write_run(tmp_path / "b", acc("acc1", 0.125) | acc("acc3", 0.30) | {rank: 5}),
    ]
    found = page_of(folders)
    assert found.bold == ["25.0"]
    assert "a: s · zero_shot acc1" in found.text["li"]


def test_the_page_needs_nothing_else(report: Path) -> None:
    found = Html((report / "report.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in found.tags} <= TAGS
    for _, attributes in found.tags:
        for name in ("src", "href"):
            if name in attributes:
                assert (attributes[name] or "").startswith(("data:", "#")), attributes
    assert "url(" not in found.text["style"] and "@import" not in found.text["style"]
    anchors = {a["href"] for tag, a in found.tags if tag == "a"}
    assert anchors == {f"#{a['id']}" for _, a in found.tags if "id" in a}
    policy = next(a["content"] for _, a in found.tags if "content" in a and "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_are_only_text(name: str, tmp_path: Path) -> None:
    dataset = name.replace("/", "\\")  # a slash ends the data set's name
    metrics = {f"{dataset}/{dataset}/{dataset}": 0.5, f"{dataset}/consistency/k1": 0.5}
    run = write_run(tmp_path / "a", metrics)
    found = page_of([run], [name])
    assert {tag for tag, _ in found.tags} <= TAGS
    assert not any(attribute.startswith("on") for _, a in found.tags for attribute in a)
    assert found.rows[0] == ["", name]
    assert [f"{dataset} · {dataset}"] in found.rows and [dataset, "0.5"] in found.rows
    assert found.text["title"] == found.text["p"].splitlines()[0][: len(name)] == name


def test_the_page_says_what_is_missing_and_what_it_takes(tmp_path: Path) -> None:
    compare([write_run(tmp_path / "a", {"s/zero_shot/acc1": 0.5})], tmp_path / "out")
    found = Html((tmp_path / "out/report.html").read_text(encoding="utf-8"))
    assert found.images() == []
    for kind in PLOTS:
        assert f"{kind.TITLE}: needs {kind.NEEDS}" in found.text["li"]
    assert (
        "Captions and the images found first: needs details of evaluation=[retrieval]"
        in (found.text["li"])
    )


def test_the_page_begins_with_the_best_run_and_what_is_known_of_its_lead(report: Path) -> None:
    found = Html((report / "report.html").read_text(encoding="utf-8"))
    assert found.text["h1"] == "Best of 2 runs: high"
    first = " ".join(found.text["p"].split())
    assert "high has the best birds · zero_shot · acc1: 60.0 %." in first
    assert "It leads low by 10.0 percentage points (95 % interval [7.0, 13.0]," in first
    assert "paired over 400 images" in first and "another seed may still change it" in first
    assert ["setting", "low", "high"] in found.rows
    assert ["objective.lambda_in_modal", "0.0", "0.1"] in found.rows
    assert ["", "low", "high best"] in found.rows
    assert ["acc1 (%)", "+10.0 [7.0, 13.0]"] in found.rows
    assert ["birds → x", "7", "7"] in found.rows
