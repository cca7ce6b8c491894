"""Folders of runs whose settings or weights are odd: refused by name, before memory is taken."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from energyflow.models import MLP, FlowMatching, RunFolder, load


@pytest.fixture
def saved(tmp_path) -> Path:
    how = {"n_steps": 1, "n_rounds": 1, "sampling_steps": 1, "batch_size": 4}
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    FlowMatching(architecture=MLP(4, 1), **how).fit(x, progress=False).save(tmp_path / "model")
    return tmp_path / "model"


def change_settings(folder: Path, **changes) -> None:
    path = folder / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"kind": "MLP", "width": 2**20, "depth": 3, "frequencies": 0}, "do not fit"),
        ({"kind": "MLP", "width": 4, "depth": 1000, "frequencies": 0}, "do not fit"),
        ({"kind": "MLP", "width": 4, "depth": 10**9, "frequencies": 0}, "depth must be at most"),
        ({"kind": "MLP", "width": 4, "depth": 1, "frequencies": 10**6}, "frequencies must be at"),
        ({"kind": "UNet", "channels": 8, "multipliers": [1] * 99, "residual_blocks": 1}, "1 to 16"),
        ({"kind": "UNet", "channels": 2**16, "multipliers": [1, 2], "residual_blocks": 1}, "image"),
        ({"kind": "MLP", "width": 4, "depth": "1", "frequencies": 0}, "depth must be an integer"),
        ({"kind": "MLP", "width": [4], "depth": 1, "frequencies": 0}, "width must be an integer"),
        ({"kind": ["MLP"]}, "kind must be a string"),
        ([], "damaged"),
    ],
)
def test_settings_that_claim_more_than_the_weights_hold_are_refused(saved, form, told) -> None:
    """Before memory is taken for a network of their size."""
    change_settings(saved, architecture=form)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"model.*{told}"):
        load(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # KiB


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": [2**20, 2**20, 2**20]}, "shape must have"),
        ({"shape": []}, "shape must have"),
        ({"chosen": ["solver"]}, "solver must be"),
        ({"chosen": 3}, "damaged"),
        ({"spread": float("nan")}, "spread must be"),
        ({"library": "numpy2"}, "library must be one of"),
        ({"given_network": 0}, "given_network must be True or False"),
        ({"condition": {"kind": "labels", "shape": [2], "classes": [3, 2]}}, "classes must be"),
        ({"condition": {"kind": "vectors", "shape": [2], "scale": 0}}, "scale must be positive"),
        (
            {"condition": {"kind": "vectors", "shape": [2], "scale": [1.0]}},
            "scale must be one number, or of vectors 2 numbers",
        ),
        (
            {"condition": {"kind": "maps", "shape": [1, 1, 1], "mean": [1.0]}},
            "mean must be one number",
        ),
        (
            {"condition": {"kind": "vectors", "shape": [2], "mean": [0, float("inf")]}},
            "mean must be finite",
        ),
        ({"condition": {"kind": "vectors", "shape": [2], "scale": [1.0, -1]}}, "scale must be pos"),
        ({"condition": {"kind": "waves", "shape": [2]}}, "kind must be one of"),
        ({"condition": {"kind": "several", "parts": 3}}, "damaged"),
        ({"sampling_steps": 10**9}, "sampling_steps must be at most"),
        ({"sampling_steps": 10**6}, "sampling_steps must be at most"),
        ({"batch_size": 10**30}, "batch_size must be at most"),
        ({"beta": 10**400}, "beta must lie within"),
    ],
)
def test_odd_settings_are_named(saved, change, told) -> None:
    change_settings(saved, **change)
    with pytest.raises(ValueError, match=f"model.*{told}"):
        load(saved)


def test_weights_that_fit_nothing_are_named(saved) -> None:
    folder = RunFolder(saved)
    weights = folder.weights()
    for change, told in (
        ({"data.scale": torch.zeros(())}, "data.scale must be positive"),
        ({"data.scale": torch.ones(2)}, "data.scale must be floating"),
        ({"data.offset": torch.tensor([math.nan, 0])}, "data.offset must be finite"),
        ({"networks.x.y": torch.ones(1)}, None),
        ({f"networks.{9**99}.a": torch.ones(1)}, None),
        ({"networks.7.first.weight": torch.ones(1)}, "do not fit"),
        ({"networks.0.first.weight": torch.ones(4, 3, dtype=torch.float64)}, None),
    ):
        folder.write_weights({**weights, **change})
        if told is None:
            assert load(saved).sample(2, rng=0).dtype == np.float32
        else:
            with pytest.raises(ValueError, match=f"model.*{told}"):
                load(saved)
