"""Where the documentation is, and the blocks of code in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
SITE = TOP / "site"
TEXTS = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>.+) -->\n+)?^(?P<fence>```+)(?P<language>\w+).*\n"
    r"(?P<code>(?:.*\n)*?)^(?P=fence)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, where it stands, and why it is not run, if so."""

    path: Path
    line: int
    language: str
    code: str
    not_run: str | None


def blocks(path: Path, *languages: str) -> list[Block]:
    text = path.read_text()
    return [
        Block(
            path,
            text.count("\n", 0, found.start("fence")) + 1,
            found["language"],
            found["code"],
            found["why"],
        )
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]


def name(path: Path) -> str:
    return path.relative_to(TOP).as_posix()
