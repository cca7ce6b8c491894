"""A browser visits every page, on a desk and on a phone, in light and in dark."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from _documentation import formulas, sources

pytestmark = [pytest.mark.site, pytest.mark.timeout(300)]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SOURCES = sources()
WIDTHS = {"desk": 1280, "phone": 390}
FIRST_FOUND = {
    "CSV": "howto/tables", "pandas": "howto/tables", "p-value": "howto/tables",
    "missing values": "howto/tables", "effect size": "api/tests", "C2ST": "howto/posterior-checks",
    "calibration": "howto/posterior-checks", "deblurring": "howto/operators",
    "inverse problem": "howto/operators", "CT": "howto/operators", "GPU": "howto/gpu-memory",
    "memory": "howto/gpu-memory", "training time": "howto/own-data", "labels": "howto/own-data",
    "image": "howto/own-data", "FAQ": "howto/troubleshooting", "NaN": "howto/troubleshooting",
    "save": "howto/save-and-resume", "resume": "howto/save-and-resume",
    "callback": "howto/own-loop", "DataLoader": "howto/own-loop",
    "training loop": "howto/own-loop", "torch.export": "howto/own-loop",
    "weights": "howto/weights", "batch": "howto/batches", "loss": "howto/losses",
    "JAX": "howto/losses", "seed": "howto/reproducibility", "Dask": "howto/large-data",
    "torchrun": "howto/several-machines", "Wasserstein": "explanation/conditional-wasserstein",
    "log likelihood": "api/models", "install": "",
}  # fmt: skip

# text that a reader sees, without code
_TEXT = """() => {
    const copy = document.querySelector('article').cloneNode(true);
    copy.querySelectorAll('code, pre, script, style, math').forEach(e => e.remove());
    return copy.textContent;
}"""
_FORMULAS = """() => [...document.querySelectorAll('math')].map(e => {
    const box = e.getBoundingClientRect();
    return [box.width, box.height];
}).filter(([width, height]) => !(width > 1 && height > 1)).length"""
_FONT = """async () => {
    const faces = await document.fonts.load('16px "STIX Two Math"', 'x');
    return faces.length == 1 && faces[0].status == 'loaded';
}"""
_PICTURES = """async () => {
    const pictures = [...document.images];
    pictures.forEach(e => e.loading = 'eager');
    await Promise.all(pictures.map(e => e.decode().catch(() => null)));
    return pictures.filter(e => !e.naturalWidth || !e.alt).map(e => e.src);
}"""
_BACKGROUND = """dark => {
    const colour = getComputedStyle(document.body).backgroundColor;
    const [r, g, b] = colour.match(/\\d+/g).map(Number);
    return dark ? Math.max(r, g, b) < 60 : Math.min(r, g, b) > 200;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.fail(f"there is no {CHROMIUM}: install Debian's chromium, or name it in CHROMIUM")
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(params=WIDTHS)
def tab(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """A tab of the browser that fails the test at an error or a request to elsewhere."""
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": WIDTHS[request.param], "height": 900}, base_url=address
    )
    tab = context.new_page()
    tab.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:", "blob:"))
            or wrong.append(f"asks {request.url}")
        ),
    )
    tab.on(
        "response",
        lambda reply: reply.status >= 400 and wrong.append(f"{reply.status}: {reply.url}"),
    )
    tab.kind = request.param
    yield tab
    context.close()
    assert not wrong


def test_every_page_is_visited(site: Path) -> None:
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert built == SOURCES.keys() | {"404.html"}


@pytest.mark.parametrize("path", [*SOURCES, "404.html"])
def test_page(tab: Any, path: str, pictures: Path) -> None:
    tab.goto(path, wait_until="networkidle")
    text = tab.evaluate(_TEXT)
    for sign in ("\\(", "\\[", "$", "\\frac", "\\sum", "{{", "--8<--", ":material-"):
        assert sign not in text, f"{sign} is seen"
    assert tab.evaluate(_FORMULAS) == 0, "formulas without size"
    shown = tab.locator("math").count()
    assert shown >= formulas(SOURCES[path]) if path in SOURCES else not shown
    if shown:
        assert tab.evaluate(_FONT), "the font of formulas is missing"
    assert tab.evaluate(_PICTURES) == [], "pictures that do not load, or have no text"
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[tab.kind]
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function(_BACKGROUND, arg=scheme == "dark", timeout=10_000)
        name = path.removesuffix(".html").removesuffix("index").strip("/").replace("/", "_")
        picture = pictures / f"{name or 'start'}-{tab.kind}-{scheme}.png"
        tab.screenshot(path=picture, full_page=True)


def test_search_finds(tab: Any) -> None:
    tab.goto("index.html", wait_until="networkidle")
    if tab.kind == "phone":
        tab.locator("label[for=__search]").first.click()
    tab.locator("input[name=query]").press_sequentially("posterior")
    result = tab.locator(".md-search-result__link").first
    result.wait_for(timeout=20_000)
    assert "osterior" in result.inner_text()
    result.click()
    tab.wait_for_url("**h=posterior**")


def test_the_right_page_is_found_first(tab: Any) -> None:
    if tab.kind == "phone":
        pytest.skip("results are those of the desk")
    first = {}
    for query in FIRST_FOUND:
        tab.goto("index.html", wait_until="networkidle")
        tab.locator("input[name=query]").press_sequentially(query)
        result = tab.locator(".md-search-result__link").first
        result.wait_for(timeout=20_000)
        tab.wait_for_timeout(300)  # results of the whole query
        path = urlsplit(result.evaluate("e => e.href")).path
        first[query] = path.strip("/").removesuffix("index.html")
    assert first == FIRST_FOUND
