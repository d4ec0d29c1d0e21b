"""The page in a real browser: it loads nothing, logs nothing, and shows everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.reports.compare import compare
from tests.helpers.browser import EXECUTABLE, opened
from tests.helpers.hostile import HOSTILE
from tests.helpers.run_folders import plausible_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="chromium is not on PATH"),
]


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on runs and data sets with hostile names."""
    folder = tmp_path_factory.mktemp("report")
    sets = tuple(name.replace("/", "\\") for name in HOSTILE[:2])
    runs = [plausible_run(folder / str(n), gain=n / 50, sets=sets[: 2 - n]) for n in range(4)]
    compare(runs, folder / "out", HOSTILE)
    return folder / "out" / "report.html"


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (360, True)], ids=["wide and light", "narrow and dark"]
)
def test_in_a_browser(hostile_report: Path, width: int, dark: bool) -> None:
    with opened(hostile_report, width, dark) as found:
        look = found.page.evaluate
        # What lies far below is decoded when it comes into view.
        look("Promise.all([...document.images].map(i => (i.loading = 'eager', i.decode())))")
        sizes = look("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
        plots = [size for size in sizes if size != [96, 64]]
        assert len(plots) >= 8 and all(w == 1440 and h > 0 for w, h in plots)
        assert len(sizes) > len(plots)
        shown = look("[...document.querySelectorAll('figure img')].map(i => i.clientWidth)")
        assert all(600 < w < 1000 for w in shown)  # on a phone their frames scroll

        rows = look("[...document.querySelectorAll('#table tr')].map(r => r.cells.length)")
        # The head; per set five evaluations of 3, 2, 5, 1 and 1 metrics; robustness; train.
        assert len(rows) == 1 + 2 * (5 + 3 + 2 + 5 + 1 + 1) + (1 + 2) + (1 + 2) + (1 + 1)
        assert set(rows) == {1, 5}
        heads = look("[...document.querySelectorAll('#table thead th')].map(c => c.textContent)")
        assert [head.removesuffix(" best") for head in heads] == HOSTILE
        # A wide table scrolls in its frame; the page itself does not.
        assert look("document.documentElement.scrollWidth") <= width

        inks = look("['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])")
        text, ground = (sum(map(int, ink[4:-1].split(","))) for ink in inks)
        assert (text > ground) == dark

        assert found.page.title().startswith("<script>")
        assert look("document.scripts.length") == 0
        assert found.complaints == []
        assert [url for url in found.requests if not url.startswith("data:")] == [
            hostile_report.as_uri()
        ]


def test_the_helper_sees_a_page_that_does_what_a_report_must_not(tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    file.write_text(
        "<title>x</title><img src='gone.png'><script>console.log(1); nothing()</script>"
    )
    with opened(file) as found:
        assert found.page.evaluate("document.images[0].naturalWidth") == 0
        assert len(found.complaints) >= 2
        assert any(url.endswith("gone.png") for url in found.requests)
