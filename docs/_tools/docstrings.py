"""Docstrings as the site shows them.

They write formulas as reStructuredText does, where the site's Markdown wants dollars; lines typed
at the prompt, which become a block; and several arguments on one line, `x, y : arrays (N, d) and
(M, d)`, which stay one entry with its text.
"""

import re
from typing import Any

import griffe

_BLOCK = re.compile(r"^(?P<indent> *)\.\. math::(?P<body>.*(?:\n(?P=indent) +\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`(?P<body>[^`]*)`")
_SESSION = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)
_LITERAL = re.compile(r"^ *::\n", re.MULTILINE)  # before text that is indented: code in Markdown
_ENTRY = re.compile(r"^(?:[\w*]+(?:, [\w*]+)* : )?(?P<type>\S.*?)(?:, optional)?$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Formulas between dollars, entries as they are written."""
        if isinstance(obj, griffe.Function):
            _show_defaults(obj)
        if not obj.docstring:
            return
        text = _LITERAL.sub("", obj.docstring.value)
        text = _INLINE.sub(lambda found: f"${_joined(found['body'])}$", text)
        obj.docstring.value = _SESSION.sub(_session, _BLOCK.sub(_block, text))
        written = {_squeezed(found["type"]): found["type"] for found in _ENTRY.finditer(text)}
        for section in obj.docstring.parsed:
            if section.kind.value in ("parameters", "attributes", "returns", "raises"):
                section.value = _entries(section.value, written)


def _show_defaults(function: griffe.Function) -> None:
    """Private names of defaults, `_N_PROJECTIONS = _Default(128)`, as what they stand for."""
    for parameter in function.parameters:
        name = str(parameter.default)
        if name.startswith("_") and name in function.module.members:
            value = str(function.module[name].value)
            parameter.default = re.sub(r"^_\w+\((.*)\)$", r"\1", value)


def _entries(items: list[Any], written: dict[str, str]) -> list[Any]:
    """The entries of a section: types as they are written, arguments of one line together."""
    found: list[Any] = []
    for item in items:
        as_written = written.get(_squeezed(item.annotation), item.annotation)
        if str(item.annotation) != as_written:
            item.annotation = as_written
        last, name = (found[-1] if found else None), getattr(item, "name", "")
        if last and name and last.annotation == as_written and last.description == item.description:
            last.name += f", {name}"
        else:
            found.append(item)
    return found


def _block(found: re.Match[str]) -> str:
    return "\n".join(found["indent"] + line for line in ("$$", _joined(found["body"]), "$$"))


def _session(found: re.Match[str]) -> str:
    """Lines typed at the prompt, without what only doctest reads."""
    lines = re.sub(r" *# doctest: .*", "", found[0]).rstrip()
    return f"```pycon\n{lines}\n```\n"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _squeezed(annotation: object) -> str:
    return re.sub(r"[\s,()'\"]", "", str(annotation))
