"""Budgets: what they are written as, and what fits."""

from __future__ import annotations

import json
import math
from time import perf_counter

import numpy as np
import pytest
from _training_rank import MODELS
from hypothesis import given
from hypothesis import strategies as st

from energyflow.models import MLP, Budget, FlowMatching, Record, RunFolder, Trainer, TrainingPlan
from energyflow.models.training.budget import Allowance


@given(st.integers(1, 10**6))
def test_units(k: int) -> None:
    assert Budget.of(k) == Budget.of(f"{k}s") == Budget.of(f" {k} S ") == Budget(seconds=k)
    assert Budget.of(f"{k}m").seconds == 60 * k
    assert Budget.of(f"{k}h").seconds == 3600 * k
    assert Budget.of(f"{k} steps") == Budget.of(f"{k}step") == Budget(steps=k)


def test_without_a_limit_everything_fits() -> None:
    assert Budget.of(None).allows(1e9, 10**9, 1e9, 10**9)
    assert Budget.of("0.5h").seconds == 1800


@pytest.mark.parametrize("text", ["", "ten", "-5m", "0 steps", "0s", "5 minutes ago", "nan", "1e3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="budget must be"):
        Budget.of(text)


@pytest.mark.parametrize(
    ("budget", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.inf, ValueError), (True, TypeError)],
)
def test_other_numbers_are_refused(budget: float, error: type) -> None:
    with pytest.raises(error, match="budget must be"):
        Budget.of(budget)


def test_what_fits() -> None:
    assert Budget.of("10s").allows(4, 0, 5, 0)
    assert not Budget.of("10s").allows(5, 0, 5, 0)
    assert Budget.of("10 steps").allows(99, 5, 99, 5)
    assert not Budget.of("10 steps").allows(0, 6, 0, 5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_planned_for_what_it_costs(kind: str) -> None:
    """Ten seconds for steps of half a second are some sixteen, at the most seventeen, steps."""
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)

    def look(seconds: float, steps: float = math.inf) -> dict[str, int]:
        decided: dict[str, int] = {}
        allowance = Allowance(steps, lambda: seconds, lambda stage: 0.5)

        before = perf_counter()

        def decide(
            trainer: Trainer, plan: TrainingPlan, on_start: None, start: float
        ) -> list[Record]:
            assert before <= start < perf_counter()
            decided.update(plan.decide(allowance))
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "train", decide)
            with pytest.raises(KeyboardInterrupt):
                MODELS[kind]().fit(points, progress=False)
        return decided

    n_steps = "network_steps" if kind == "flow" else "n_steps"
    short, long = look(10.0), look(1e5)
    assert 1 <= short[n_steps] <= 17
    assert short.get("n_blocks", 1) == 1
    assert long[n_steps] == (20 if kind == "flow" else 60)
    assert long["n_validation"] == 2000
    assert look(1e-9)["n_validation"] == 0
    assert look(1e-9)[n_steps] == 1
    whole = {"n_blocks": 1, "network_steps": 20} if kind == "flow" else {}
    assert look(math.inf, 25) == (whole or {"n_steps": 25, "n_rounds": 3})


def test_seconds_end_a_training(tmp_path) -> None:
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    how = {"n_steps": 10**6, "n_rounds": 3, "architecture": MLP(width=8, depth=1)}
    start = perf_counter()
    model = FlowMatching(**how).fit(points, out=tmp_path / "run", budget=2.0, progress=False)
    assert model.n_trained >= 1
    assert perf_counter() - start < 10  # the start, and a machine that is busy
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["budget"] == {"seconds": 2.0}
    assert 1 <= plan["decisions"]["n_steps"] < 10**5
    again = FlowMatching(**how).fit(points, out=tmp_path / "run", resume=True, progress=False)
    assert RunFolder(tmp_path / "run").records()[-1].step == plan["decisions"]["n_steps"]
    assert again.n_trained == plan["decisions"]["n_rounds"]
