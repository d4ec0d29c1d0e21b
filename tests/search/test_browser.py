"""The page in a real browser: what a visitor types, clicks and drops, and what the page shows."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from cyclip_pl.search.server import SearchServer
from tests.helpers.browser import EXECUTABLE, Opened, opened
from tests.helpers.evaluation_sets import write_tar
from tests.helpers.hostile import HOSTILE
from tests.helpers.world import CLASSES, shape_png
from tests.search.models import ColourNet, engine_of, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="chromium is not on PATH"),
]


@pytest.fixture(scope="module")
def server(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchServer]:
    """Two models: the second one's embeddings of dark colours lie elsewhere."""
    models = ColourNet(), ColourNet(0.35)
    with serving(engine_of(f"{world}/train", tmp_path_factory.mktemp("c"), *models)) as server:
        yield server


def found(opened: Opened, model: int = 0) -> list[str]:
    """The captions under a model's images, once the answer is there."""
    opened.page.wait_for_selector(".model:not(.busy *) .cosine")
    return opened.page.locator(f".model:nth-child({model + 1}) .tile .caption").all_inner_texts()


def until(page: Page, condition: str) -> None:
    """Wait for it; Playwright's own way evaluates in the page, whose policy forbids that."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def drop(opened: Opened, data: bytes, kind: str = "image/png") -> None:
    """Drop a file on the page."""
    script = """([data, type]) => {
        const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "mine", { type }));
        const settings = { dataTransfer: transfer, bubbles: true, cancelable: true };
        for (const name of ["dragenter", "dragover", "drop"])
            window.dispatchEvent(new DragEvent(name, settings));
    }"""
    opened.page.evaluate(script, [base64.b64encode(data).decode(), kind])


def test_type_click_and_drop(server: SearchServer) -> None:
    with opened(server.url) as shown:
        page = shown.page
        # Before any query it shows some images and captions to try.
        page.wait_for_selector(".tile")
        assert page.locator(".tile").count() == 24
        assert page.locator("#examples button").count() == 6

        page.keyboard.type("red thing")  # the field has the focus; no Enter is needed
        page.wait_for_selector("text=nearest to “red thing”")
        for model in (0, 1):
            assert {text.split()[1] for text in found(shown, model)} == {"red"}
        assert page.locator(".model h2").all_inner_texts() == ["model 0", "model 1"]
        images = page.locator(".tile img")
        assert images.count() == 48
        assert {image.get_attribute("alt") for image in images.all()} <= {f"a {c}" for c in CLASSES}
        until(page, "document.querySelector('.tile img').naturalWidth == 24")
        # Both find the same 24 images.
        assert page.locator(".tile.common .badge").count() == 48
        assert "24 of them are found by both models" in page.inner_text("#status")

        page.locator(".tile").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#query img")
        page.wait_for_selector(".words .own")
        assert page.locator(".words .own").count() == 2
        assert {text.split()[1] for text in found(shown)[:20]} == {"red"}
        assert page.input_value("#text") == ""

        page.locator(".words button").nth(0).click()
        page.wait_for_selector("text=nearest to “a red")
        page.go_back()
        page.wait_for_selector("#query:not([hidden]) img")

        drop(shown, shape_png(CLASSES.index("blue bar")))
        page.wait_for_selector("text=nearest to your image")
        assert page.locator("#drop").is_hidden()
        assert {text.split()[1] for text in found(shown, 1)} == {"blue"}
        assert "blue" in page.locator(".words button").first.inner_text()
        until(page, "document.querySelector('#query img').naturalWidth == 24")
        page.select_option("#number", "12")
        until(page, "document.querySelectorAll('.tile').length == 24")
        assert "your image" in page.inner_text("#status")

        page.click("#query button")
        page.wait_for_selector("#examples:not([hidden])")
        assert shown.complaints == []
        assert all(url.startswith((server.url, "data:", "blob:")) for url in shown.requests)


def test_marks_fit_a_phone(server: SearchServer) -> None:
    with opened(f"{server.url}#text=red+square&k=12", width=360) as there:
        found(there)
        cut = """[...document.querySelectorAll(".tile .badge")].map(badge =>
            badge.getBoundingClientRect().right
            - badge.closest(".tile").getBoundingClientRect().right)"""
        beyond = there.page.evaluate(cut)
    assert beyond and max(beyond) < 0


def test_an_address_can_be_shared(server: SearchServer) -> None:
    with opened(f"{server.url}#text=a+green+bar&k=12") as shown:
        shown.page.wait_for_selector("text=nearest to “a green bar”")
        assert shown.page.input_value("#text") == "a green bar"
        assert len(found(shown)) == 12
        shown.page.goto(f"{server.url}#image=3&k=48")
        shown.page.wait_for_selector("#query:not([hidden])")
        assert len(found(shown)) == 48
        assert "image=3" in shown.page.url


def test_what_goes_wrong_is_told(server: SearchServer) -> None:
    with opened(server.url) as shown:
        page = shown.page
        page.wait_for_selector(".tile")
        page.set_input_files("#file", {"name": "x.txt", "mimeType": "text/plain", "buffer": b"x"})
        page.wait_for_selector("[role=alert]:not([hidden])")
        assert "not an image of these kinds" in page.inner_text("#wrong")
        assert page.locator(".tile").count() == 0
        until(page, "!document.querySelector('#query img')")
        page.route("**/search*", lambda route: route.abort())
        page.fill("#text", "red")
        page.wait_for_selector("text=The server does not answer")
        page.unroute("**/search*")
        page.fill("#text", "red one")
        assert found(shown) and page.locator("#wrong").is_hidden()
        # The browser itself logs failed requests; nothing else is there.
        assert all(text.startswith("Failed to load resource") for text in shown.complaints)


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, True), (390, False)])
def test_phones_and_the_dark(server: SearchServer, width: int, dark: bool) -> None:
    with opened(f"{server.url}#text=red", width, dark) as shown:
        found(shown)
        look = shown.page.evaluate
        assert look("document.documentElement.scrollWidth") <= width
        inks = look("['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])")
        text, ground = (sum(map(int, ink[4:-1].split(","))) for ink in inks)
        assert (text > ground) == dark
        tops = look("[...document.querySelectorAll('.tiles')].map(t => t.getBoundingClientRect())")
        # The models stand side by side, and their images begin at the same height.
        assert tops[0]["top"] == tops[1]["top"] and tops[0]["right"] < tops[1]["left"]
        assert tops[0]["width"] == pytest.approx(tops[1]["width"], abs=1)
        small = look(
            "[...document.querySelectorAll('button, input:not(.unseen), select')]"
            ".filter(e => e.offsetParent).filter(e => e.getBoundingClientRect().height < 24).length"
        )
        assert small == 0
        unnamed = look(
            "[...document.querySelectorAll('button')].filter(b => !b.textContent.trim()).length"
        )
        assert unnamed == 0 and shown.complaints == []


def test_captions_of_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    texts = [*HOSTILE, "<img src=x onerror=window.hit=1>", "javascript:hit=1", "x" * 3000]
    files = []
    for number, text in enumerate(texts):
        files += [(f"{number}.png", shape_png(number)), (f"{number}.txt", text.encode())]
    write_tar(folder / "0.tar", files)
    with (
        serving(engine_of(folder, tmp_path / "cache")) as server,
        opened(f"{server.url}#text=red", 390) as shown,
    ):
        assert set(found(shown)) >= {"<img src=x onerror=window.hit=1>"}
        shown.page.goto(f"{server.url}#image=0")
        shown.page.wait_for_selector(".words button")
        assert shown.page.evaluate("window.hit") is None
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert shown.page.locator("main script, main img[src=x]").count() == 0
        assert shown.complaints == []


def test_the_policy_lets_no_other_script_run(server: SearchServer) -> None:
    with opened(server.url) as shown:
        shown.page.wait_for_selector(".tile")
        shown.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'window.hit = 1'}))"
        )
        assert shown.page.evaluate("window.hit") is None
        assert ["Content Security Policy" in text for text in shown.complaints] == [True]
