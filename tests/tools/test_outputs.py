"""The comparison of outputs tells every bit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef
from energyflow import datasets, metrics
from tools import outputs
from tools.outputs.functions import reference
from tools.outputs.recording import Recording, compare

# of the machine; a file of weights; a former name; a picture
NOT_RECORDED = {"compile_kernels", "show_backends", "fid", "calibration", "pair_plot"}


def test_recordings_differ_where_a_bit_does() -> None:
    old, new = Recording(), Recording()
    for recording in (old, new):
        reference(recording)
    assert len(old.arrays) > 30
    assert compare(old.arrays, new.arrays) == []
    name = "flow_step 1.0[0]"
    new.arrays[name] = new.arrays[name].copy()
    new.arrays[name][3, 1] = np.nextafter(new.arrays[name][3, 1], 9)
    del new.arrays["kernel_sum gauss"]
    (moved, missing) = compare(old.arrays, new.arrays)
    assert moved.startswith(f"{name}: 1 of 60 differ, by at most")
    assert missing == "kernel_sum gauss: is missing"


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (np.array([0.0, np.nan]), "1 of 2 differ"),
        (np.array([1.0, np.nan], np.float32), "is float32"),
        (np.array([1.0]), r"is float64 \(1,\)"),
        (np.array([1.0, -np.nan]), "0 of 2 differ"),
    ],
)
def test_what_differs_is_said(new: np.ndarray, words: str) -> None:
    (line,) = compare({"f": np.array([1.0, np.nan])}, {"f": new})
    assert re.search(words, line)


def test_errors_are_recorded_by_their_type() -> None:
    recording = Recording()
    assert recording.call("f", int, "x") is None
    assert str(recording.arrays["f raises"]) == "ValueError"


@pytest.mark.parametrize("module", [ef, ef.reference, datasets, metrics])
def test_every_public_function_is_recorded(module: object) -> None:
    names = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    sections = Path(outputs.__file__).parent.glob("*.py")
    source = "".join(path.read_text() for path in sections)
    missing = {name for name in names - NOT_RECORDED if not re.search(rf"\b{name}\b", source)}
    assert not missing
