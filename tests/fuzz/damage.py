"""Hypothesis strategies that damage good files."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import strategies as st

_NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2, 10**6, 10**9, 2**63, 10**400, 0.5, -0.5, 1e308, 5e-324, math.nan,
    math.inf, -math.inf, "", "x", "../x", "/etc/passwd", "a\0b", [], [[]], [1], [None], {},
    {"a": 1}, [[1, 2], [3]], [1, "a"], "MLP", "UNet", "labels", "maps", "numpy",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with up to four places changed."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        how = draw(st.integers(0, 6))
        if how == 0:
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif how == 1:
            size = draw(st.sampled_from([1, 2, 4, 8]))
            order: Any = draw(st.sampled_from(["big", "little"]))
            number = draw(st.sampled_from(_NUMBERS)) % 2 ** (8 * size)
            content[place : place + size] = number.to_bytes(size, order)
        elif how == 2:
            del content[place:]
        elif how == 3:
            content[place:place] = draw(st.binary(max_size=12))
        elif how == 4:
            del content[place : place + draw(st.integers(1, 40))]
        elif how == 5:
            content[place:place] = content[place : place + draw(st.integers(1, 40))]
        elif content:
            content[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@st.composite
def odd_json(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files with up to three entries that are strange, missing or new."""
    document = json.loads(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        how = draw(st.integers(0, 7))
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "format", "kind", ""]))] = draw(_ODD)
        else:
            holder[key] = draw(_ODD)
    return json.dumps(document).encode()


_ODD = st.sampled_from(_STRANGE).map(lambda value: json.loads(json.dumps(value)))


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every entry of nested tables and lists, as its holder and its key."""
    keys = document if isinstance(document, dict) else range(len(document))
    found = []
    for key in list(keys):
        found.append((document, key))
        if isinstance(document[key], dict | list):
            found += _places(document[key])
    return found
