"""Where the documentation is, and the blocks of code in it."""

from __future__ import annotations

import pydoc
import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
SITE = TOP / "site"
TEXTS = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]

# a block may be indented, inside an admonition, a tab or a list
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- not run: (?P<why>.+) -->\n+(?P=indent))?"
    r"(?P<fence>```+)(?P<language>\w+).*\n(?P<code>(?:.*\n)*?)(?P=indent)(?P=fence)$",
    re.MULTILINE,
)
_FENCE = re.compile(r"^\W*(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, where it stands, and why it is not run, if so."""

    path: Path
    line: int
    language: str
    code: str
    not_run: str | None


def blocks(path: Path, *languages: str) -> list[Block]:
    """Those in some languages, or all."""
    text = path.read_text()
    return [
        Block(
            path,
            text.count("\n", 0, found.start("fence")) + 1,
            found["language"],
            re.sub(f"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["why"],
        )
        for found in _BLOCK.finditer(text)
        if not languages or found["language"] in languages
    ]


def has_other_fences(path: Path) -> bool:
    """Whether there are fences that are no `Block`: without a language, or never closed."""
    return _FENCE.search(_BLOCK.sub("", path.read_text())) is not None


def sources() -> dict[str, str]:
    """The text that each page of the site is made from, by the page's address."""
    docs = TOP / "docs"
    texts = {path.relative_to(docs): path.read_text() for path in docs.rglob("*.md")}
    for script in sorted((docs / "tutorials").glob("*.py")):
        cells = re.split("^# %%", script.read_text(), flags=re.MULTILINE)
        text = "".join(cell for cell in cells if cell.startswith(" [markdown]"))
        texts[Path("tutorials", script.name)] = re.sub("^# ?", "", text, flags=re.MULTILINE)
    for results in sorted((TOP / "benchmarks" / "results").glob("*.md")):
        texts[Path("benchmarks", results.name)] = results.read_text()
    texts[Path("api", "command-line.md")] = ""
    return {
        (path.parent / ("" if path.stem == "index" else path.stem) / "index.html").as_posix(): text
        for path, text in sorted(texts.items())
    }


def formulas(text: str) -> int:
    """How many formulas a page must show at least, those of its docstrings among them."""
    names = re.findall(r"^::: ([\w.]+)", text, re.MULTILINE)
    written = [pydoc.locate(name).__doc__ or "" for name in names]
    text = re.sub(r"`[^`]*`", "", _BLOCK.sub("", text))
    found = re.findall(r"\$\$.+?\$\$|\$.+?\$", text, re.DOTALL)
    return len(found) + len(re.findall(r"\.\. math::|:math:", "".join(written)))


def name(path: Path) -> str:
    return path.relative_to(TOP).as_posix()
