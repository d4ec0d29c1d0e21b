"""The page in a real browser: it loads nothing, complains of nothing, and shows everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.reports.compare import compare
from tests.helpers.browser import NAMES, Page, executable
from tests.helpers.hostile import HOSTILE
from tests.helpers.run_folders import plausible_run

pytestmark = pytest.mark.skipif(executable() is None, reason=f"none of {', '.join(NAMES)} on PATH")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names of runs and of data sets are hostile."""
    folder = tmp_path_factory.mktemp("report")
    sets = tuple(name.replace("/", "\\") for name in HOSTILE[:2])
    runs = [plausible_run(folder / str(n), gain=n / 50, sets=sets[: 2 - n]) for n in range(4)]
    compare(runs, folder / "out", HOSTILE)
    return folder / "out" / "report.html"


@pytest.mark.parametrize(
    ("width", "dark"), [(1200, False), (400, True)], ids=["wide and light", "narrow and dark"]
)
def test_in_a_browser(report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    with Page(report.as_uri(), tmp_path / "profile", width, dark) as page:
        sizes = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
        assert len(sizes) >= 6 and all(w == 1440 and h > 0 for w, h in sizes)
        shown = page.evaluate("[...document.images].map(i => i.getBoundingClientRect().width)")
        assert all(300 < w <= width for w in shown)

        rows = page.evaluate("[...document.querySelectorAll('tr')].map(r => r.cells.length)")
        # Head; of each set three evaluations of 3, 2 and 5; the two of robustness; train.
        assert len(rows) == 1 + 2 * (3 + 3 + 2 + 5) + (1 + 2) + (1 + 2) + (1 + 1)
        assert set(rows) == {2, 5}
        heads = page.evaluate("[...document.querySelectorAll('thead th')].map(c => c.textContent)")
        assert heads == HOSTILE
        # A wide table scrolls in its frame, the page itself does not.
        assert page.evaluate("document.documentElement.scrollWidth") <= width

        inks = page.evaluate(
            "['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])"
        )
        light, dark_ink = (sum(map(int, ink[4:-1].split(","))) for ink in inks)
        assert (light > dark_ink) == dark

        assert page.evaluate("document.title").startswith("<script>")
        assert page.evaluate("document.scripts.length") == 0
        assert page.complaints() == []
        loaded = [url for url in page.requests() if not url.startswith("data:")]
        assert loaded == [report.as_uri()]


def test_the_helper_sees_what_it_is_asked_to_see(tmp_path: Path) -> None:
    """A page that does what a report must not do."""
    file = tmp_path / "bad.html"
    file.write_text(
        "<title>x</title><img src='gone.png'><script>console.log(1); nothing()</script>"
    )
    with Page(file.as_uri(), tmp_path / "profile") as page:
        assert page.evaluate("document.images[0].naturalWidth") == 0
        assert len(page.complaints()) >= 2
        assert any(url.endswith("gone.png") for url in page.requests())
