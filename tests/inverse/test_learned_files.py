"""What a posterior keeps in its folder beside the networks: damage is found when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

from energyflow._core.files import load_array, write_arrays
from energyflow.inverse import DirectPosterior, PosteriorFlow
from energyflow.models import MLP


@pytest.fixture(scope="module")
def flow() -> PosteriorFlow:
    theta, noise = np.random.default_rng(1).normal(size=(2, 500, 2))
    flow = PosteriorFlow(n_steps=1, n_rounds=1, architecture=MLP(width=8, depth=0), device="cpu")
    seen = np.hstack([theta + noise, 3 * np.ones((500, 1))])
    return flow.fit(theta, seen, progress=False, n_validation=10)


@pytest.fixture
def folder(flow: PosteriorFlow, tmp_path: Path) -> Path:
    flow.save(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": False}, r"regression\.npz: expected 3 numbers of an observation, got 6"),
        ({"observed": 0}, r"guess\.json: expected JSON"),
        ({"observed": [4]}, r"guess\.json: expected observed \(3,\)"),
        ({"guess": "lift"}, r"guess\.json: expected a regression where there are scores"),
        ({"guess": "lift", "scores": False, "parameters": False}, "expected parameters"),
        ({"shape": 0}, r"guess\.json: expected JSON"),
        ({"range": [[0.0], [1.0]]}, r"guess\.json: expected 3 numbers of an observation, got 1"),
        ({"range": [[1.0], [0.0]]}, r"guess\.json: expected JSON"),
        ({"range": 3}, r"guess\.json: expected JSON"),
    ],
)
def test_damaged_settings(folder: Path, changed: dict[str, Any], message: str) -> None:
    settings = json.loads((folder / "guess.json").read_text())
    (folder / "guess.json").write_text(json.dumps(settings | changed))
    with pytest.raises(ValueError, match=message):
        PosteriorFlow.load(folder, device="cpu")


def test_scores_and_regression_of_fewer_columns(folder: Path) -> None:
    for name, arrays in (("scores", ("knots", "scores")), ("regression", ("matrix", "offset"))):
        kept = {key: load_array(f"{folder / name}.npz:{key}") for key in arrays}
        if name == "scores":
            kept = {key: array[:, :2] for key, array in kept.items()}
        else:
            kept["matrix"] = kept["matrix"][[0, 1, 3, 4]]
        write_arrays(folder / f"{name}.npz", kept)
    with pytest.raises(ValueError, match=r"scores\.npz: expected 3 numbers .*, got 2"):
        PosteriorFlow.load(folder, device="cpu")


def test_observations_outside_the_training_warn_once(flow: PosteriorFlow, folder: Path) -> None:
    flow.sample(np.array([0, 0, 3.0]), 5, rng=0)  # no warning, which would be an error
    flow.sample(np.float32([0, 0, 3]), 5, rng=0)
    outside = np.array([[0, 0, 3.0], [0, -60, 3], [0, 0, 3.5]])
    again = PosteriorFlow.load(folder, device="cpu")
    expected = "2 of 3 observations lie outside .*: column 1 is -60, trained between -"
    for given in (flow, again):
        with pytest.warns(UserWarning, match=expected) as warned:
            given.sample(outside, 5, rng=0)
        assert len(warned) == 1
    with pytest.warns(UserWarning, match="the observation lies .* trained between 3 and 3$"):
        again.log_prob(np.zeros((4, 2)), outside[2])
    with pytest.warns(UserWarning, match="the observation lies"):
        DirectPosterior(again).sample((5,), outside[1], rng=0)
