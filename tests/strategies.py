"""Hypothesis strategies for point sets and weights."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# few distinct values make ties; signed zeros among them
_TIED = st.sampled_from([-1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 3.0])
_LOOSE = st.floats(-100, 100, width=32).map(lambda v: float(np.round(v, 3)))


_SIZES = st.integers(1, 12)


def points(d: int, size: st.SearchStrategy[int] = _SIZES) -> st.SearchStrategy:
    """Sets (N, d), often with ties."""
    return st.tuples(size, st.sampled_from([_TIED, _LOOSE])).flatmap(
        lambda drawn: hnp.arrays(np.float64, (drawn[0], d), elements=drawn[1])
    )


def weights(n: int) -> st.SearchStrategy:
    """Weights (n,) with sum one."""
    return (
        hnp.arrays(np.float64, n, elements=st.integers(0, 9).map(float))
        .filter(lambda w: w.sum() > 0)
        .map(lambda w: w / w.sum())
    )


@st.composite
def pairs(draw: st.DrawFn, *, weighted: bool = False, minimum: int = 1) -> tuple:
    """Two sets in one dimension d, and weights or None: (x, y, a, b)."""
    d = draw(st.sampled_from([1, 2, 3, 5]))
    size = st.integers(minimum, 12)
    x, y = draw(points(d, size)), draw(points(d, size))
    if not weighted:
        return x, y, None, None
    return x, y, draw(weights(len(x))), draw(weights(len(y)))
