"""Models take strange settings, data and arguments, or refuse them by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from test_strange_arguments import CONDITION, STRANGE, X, Y, refusal

from energyflow import inverse
from energyflow.models import (
    MLP,
    Budget,
    DMMDSettings,
    FlowMatching,
    FlowMatchingSettings,
    FlowSettings,
    Pyramid,
    UNet,
    save_grid,
)

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

KINDS = (MLP, UNet, Pyramid, FlowSettings, FlowMatchingSettings, DMMDSettings, Budget)


@pytest.mark.parametrize("kind", KINDS)
def test_strange_settings(kind: type) -> None:
    check(kind, {field.name: getattr(kind(), field.name) for field in fields(kind)})


FIT: dict[str, Any] = {
    "data": X, "condition": CONDITION, "held_out": Y, "held_out_condition": CONDITION[:5],
    "budget": None, "patience": None, "name": "given", "n_validation": 2,
}  # fmt: skip
SMALL = {"n_steps": 1, "n_rounds": 1, "sampling_steps": 1, "architecture": MLP(width=4, depth=1)}


def fit(**arguments: Any) -> FlowMatching:
    return FlowMatching(**SMALL).fit(arguments.pop("data"), progress=False, **arguments)


def posterior(**arguments: Any) -> Any:
    problem = inverse.Linear([1.0, 2, 3]) + inverse.Gaussian(1.0)
    flow = inverse.PosteriorFlow(problem, FlowMatching(**SMALL))
    flow.fit(X, n_validation=2, progress=False)
    return flow.sample(**{"observation": X[0], "n": 2, "rng": 0} | arguments)


def test_strange_arguments_of_fits(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check(fit, FIT)
    check(FlowMatching, {"network": None, "preset": None, "device": "cpu"})


def test_strange_arguments_of_samples() -> None:
    model = fit(**FIT)
    how = {"condition": CONDITION[0], "n_steps": 1, "solver": "euler"}
    check(model.sample, {"n": 2, "rng": 0, "guidance": 1.0} | how)
    check(model.log_likelihood, {"points": X} | how)


def test_strange_arguments_of_grids(tmp_path, monkeypatch) -> None:
    pytest.importorskip("PIL", reason="Pillow is an extra")
    monkeypatch.chdir(tmp_path)
    images = np.zeros((2, 1, 4, 4))
    check(save_grid, {"path": tmp_path / "grid.png", "images": images, "columns": 2})
    with pytest.raises(TypeError, match="path must be a path, got ndarray"):
        save_grid(images, "grid.png")


def check(call: Callable[..., Any], good: dict[str, Any]) -> None:
    """Each argument in turn is strange: it is taken, or named by a ValueError or TypeError."""
    call(**good)
    faults = []
    for argument in good:
        for kind, value in STRANGE.items():
            fault = refusal(partial(call, **{**good, argument: value}), argument)
            if fault:
                faults.append(f"{argument} = {kind}: {fault}")
    assert not faults, "\n".join(faults)
