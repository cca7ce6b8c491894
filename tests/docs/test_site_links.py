"""Every link of the built site leads somewhere on it, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from _documentation import SITE

pytestmark = pytest.mark.site
LOADED = {
    ("link", "href"), ("object", "data"), ("img", "srcset"), ("source", "srcset"),
    *((tag, "src") for tag in ("script", "img", "iframe", "embed", "source", "video", "audio")),
}  # fmt: skip


class Links(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.without_alt: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id" or (tag, key) == ("a", "name"):
                self.anchors.add(value or "")
            elif (tag, key) == ("a", "href"):
                self.links.append(value or "")
            elif (tag, key) in LOADED:
                self.loads.append(value or "")
        if tag == "img" and not dict(attrs).get("alt"):
            self.without_alt.append(str(dict(attrs).get("src")))


@cache
def read(path: Path) -> Links:
    return Links(path.read_text())


def lead(page: Path, link: str) -> str | None:
    """Why a link of a page leads nowhere."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto", "data"):
        return None
    where = unquote(parts.path)
    root = SITE if where.startswith("/") else page.parent
    target = (root / where.lstrip("/")).resolve() if where else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return f"{link}: no such file"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in read(target).anchors:
        return f"{link}: no such anchor"
    return None


def test_links_lead_somewhere(site: Path) -> None:
    wrong = [
        f"{page.relative_to(site)}: {why}"
        for page in site.rglob("*.html")
        for link in {*read(page).links, *read(page).loads}
        if (why := lead(page, link))
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    foreign = [
        f"{page.relative_to(site)}: {link}"
        for page in site.rglob("*.html")
        for link in read(page).loads
        if urlsplit(link).netloc
    ]
    foreign += [
        f"{style.relative_to(site)}: {link}"
        for style in site.rglob("*.css")
        for link in re.findall(r"url\([\"']?([^)]*)|@import\s+[\"']([^\"']+)", style.read_text())
        if urlsplit("".join(link)).netloc
    ]
    assert not foreign, "\n".join(foreign)


def test_pictures_have_alternative_text(site: Path) -> None:
    wrong = {
        str(page.relative_to(site)): read(page).without_alt
        for page in site.rglob("*.html")
        if read(page).without_alt
    }
    assert not wrong
