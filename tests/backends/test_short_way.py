"""From a public function to the kernel, in frames and calls; `benchmarks short_way` takes times."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

import energyflow as ef

pytest.importorskip("numba", reason="numba is not installed")


def test_frames_and_calls_on_the_way_to_the_kernel(monkeypatch) -> None:
    """Of 50 x 3 points and 8 slices that are given, with all checks and the kernel's launch."""
    from energyflow_kernels.numba.sliced import sliced_energy

    monkeypatch.delenv("ENERGYFLOW_BACKEND", raising=False)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    slices = ef.sample_projections(8, 3, rng=0)
    ef.sliced_energy_distance(x, y, projections=slices)  # imports and compiles
    here = sys._getframe()
    calls, ways = 0, []

    def watch(frame: FrameType | None, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"
        if event == "call" and frame is not None and frame.f_code is sliced_energy.__code__:
            way = []
            while frame is not None and frame is not here:
                way.append(frame.f_code.co_qualname)
                frame = frame.f_back
            ways.append(way[::-1])

    sys.setprofile(watch)
    try:
        ef.sliced_energy_distance(x, y, projections=slices)
    finally:
        sys.setprofile(None)
    assert len(ways) == 1
    assert len(ways[0]) <= 7, ways[0]
    assert calls <= 120
