"""Docstrings write formulas as reStructuredText does; the site's Markdown wants dollars."""

import re
from typing import Any

import griffe

_BLOCK = re.compile(r"^(?P<indent>[ ]*)\.\. math::(?P<body>.*(?:\n(?P=indent)[ ]+\S.*)*)", re.M)
_INLINE = re.compile(r":math:`(?P<body>[^`]*)`")


class Formulas(griffe.Extension):
    """`.. math::` and `:math:` become $$...$$ and $...$."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of any object."""
        if obj.docstring:
            text = _INLINE.sub(lambda found: f"${' '.join(found['body'].split())}$", obj.docstring.value)
            obj.docstring.value = _BLOCK.sub(_block, text)


def _block(found: re.Match[str]) -> str:
    indent, body = found["indent"], " ".join(found["body"].split())
    return f"{indent}$$\n{indent}{body}\n{indent}$$"
