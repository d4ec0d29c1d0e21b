"""The documentation builds strictly, and its pages load nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

pytestmark = pytest.mark.slow

_LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
# Links that name a page and load nothing.
_NAMES = {"canonical", "prev", "next"}


class _Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of_tag = dict(attrs)
        if of_tag.get("rel") not in _NAMES and (url := of_tag.get(_LOADS.get(tag, ""))):
            self.urls.append(url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    for page in DOCS:
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert pages
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text("utf-8"))
        assert parser.urls
        for url in parser.urls:
            assert (page.parent / url.partition("?")[0]).is_file() or url == ".", url
    # Style sheets may load fonts.
    assert not any("@import" in css.read_text() for css in site.rglob("*.css"))


def test_links_of_the_readme_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text("utf-8")):
            assert (ROOT / link).exists(), f"{page}: {link}"
