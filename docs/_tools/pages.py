"""Folders in the navigation stand for their pages, sorted by name, the index first."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files


@event_priority(-100)  # after the hooks that make pages
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Put the pages of each folder into the navigation."""
    pages = sorted(
        (file.src_uri for file in files.documentation_pages()),
        key=lambda uri: (not uri.endswith("index.md"), uri),
    )
    config.nav = _expanded(config.nav or [], pages)
    return files


def _expanded(entries: list[Any], pages: list[str]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            for title, inside in entry.items():
                several = isinstance(inside, list) or inside.endswith("/")
                listed = inside if isinstance(inside, list) else [inside]
                found.append({title: _expanded(listed, pages) if several else inside})
        elif entry.endswith("/"):
            found += [page for page in pages if page.startswith(entry)]
        else:
            found.append(entry)
    return found
