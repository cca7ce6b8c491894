"""Precision and recall: identical and disjoint sets, and the definition by loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import points

from energyflow.metrics import _points as blocks
from energyflow.metrics import precision_recall


def by_loops(real, fake, k):
    def covered(point, centres):
        for i, centre in enumerate(centres):
            others = sorted(np.linalg.norm(np.delete(centres, i, axis=0) - centre, axis=1))
            if np.linalg.norm(point - centre) <= others[k - 1]:
                return True
        return False

    return (
        np.mean([covered(point, real) for point in fake]),
        np.mean([covered(point, fake) for point in real]),
    )


sizes = st.integers(4, 10)


@given(points(2, sizes), points(2, sizes), st.integers(1, 3))
def test_the_definition(real, fake, k):
    found = tuple(map(float, precision_recall(real, fake, k)))
    assert found == pytest.approx(by_loops(real, fake, k))
    assert all(0 <= value <= 1 for value in found)
    assert tuple(map(float, precision_recall(fake, real, k))) == found[::-1]
    assert tuple(map(float, precision_recall(real, real, k))) == (1, 1)


def test_sets_far_apart_and_a_set_that_misses_a_mode(rng):
    here, there = rng.normal(size=(2, 60, 3))
    assert tuple(map(float, precision_recall(here, there + 1000))) == (0, 0)
    both = np.concatenate([here, there + 1000])
    precision, recall = map(float, precision_recall(both, here))
    assert (precision, recall) == (1, 0.5)


def test_blocks_do_not_matter(rng, monkeypatch):
    x, y = rng.normal(size=(2, 63, 4))
    whole = precision_recall(x, y)
    monkeypatch.setattr(blocks, "BYTES", 5 * 8 * 63)
    assert precision_recall(x, y) == whole


def test_every_library(xp, rng):
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(50, 3)) / 2
    found = precision_recall(xp.asarray(x), xp.asarray(y))
    assert [float(v) for v in found] == pytest.approx([float(v) for v in precision_recall(x, y)])


@pytest.mark.parametrize(
    ("x", "k", "error", "told"),
    [
        (np.ones((3, 2)), 3, ValueError, "fake must have more than k = 3 points, got 3"),
        (np.ones((3, 2)), 0, ValueError, "k must be at least 1"),
        (np.ones((5, 1, 1, 2, 1)), 1, ValueError, r"\(5, 1, 1, 2, 1\)"),
    ],
)
def test_bad_input_is_named(x, k, error, told):
    with pytest.raises(error, match=told):
        precision_recall(np.ones((9, 2)), x, k)
