"""Tables of results in pages: `<!-- table: directions.md, Error of sliced norms -->`."""

import re

from kept import TOP
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_MARK = re.compile(r"<!-- table: (?P<file>[\w.-]+), (?P<heading>.+?) -->")
_LIKE_A_MARK = re.compile(
    r"<!--(?! (?:results|tutorials) -->)\s*(?:tables?|results?|tutorials?)\b.*?-->", re.I
)
_TABLE = r"^## {heading}.*\n\n(?P<table>(?:\|.*\n)+)"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table below the heading that begins so in the file of results."""

    def table(mark: re.Match[str]) -> str:
        path = TOP / "benchmarks" / "results" / mark["file"]
        text = path.read_text() if path.is_file() else ""
        found = re.search(_TABLE.format(heading=re.escape(mark["heading"])), text, re.M)
        if found is None:
            raise PluginError(f"{page.file.src_uri}: no table for {mark[0]}")
        return found["table"]

    markdown = _MARK.sub(table, markdown)
    unknown = _LIKE_A_MARK.search(markdown)
    if unknown is not None:
        raise PluginError(f"{page.file.src_uri}: nothing stands for {unknown[0]}")
    return markdown
