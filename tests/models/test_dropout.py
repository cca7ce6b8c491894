"""Networks of users that draw from torch's global generators: dropout, and noise of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energyflow.inverse import PosteriorFlow
from energyflow.models import DMMD, FlowGenerator, FlowMatching, Model

X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
MADE = {
    "flow-matching": lambda: FlowMatching(Noisy(3, 2), n_steps=12, n_rounds=3),
    "flow": lambda: FlowGenerator(
        Noisy(2, 2), n_blocks=2, n_particles=40, n_projections=4, n_steps=7
    ),
    "dmmd": lambda: DMMD(Noisy(14, 2), n_steps=6, n_rounds=2, ema=0.5),
}
NAMES = tuple(MADE)


class Noisy(nn.Module):
    """Dropout while it trains, and noise of its own always."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, 16), nn.Dropout(0.3), nn.Linear(16, n_out))
        for p in self.parameters():
            nn.init.constant_(p, 0.1)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        columns = [other.reshape(len(x), -1) for other in others]
        seen = torch.cat([x, *columns], 1)
        return self.layers(seen) + 0.01 * torch.randn(len(x), 2)


def fitted(kind: str, out: Path | None = None, torch_seed: int = 0, **how: Any) -> Model:
    """Fit; the global generator starts elsewhere, and stays there."""
    model = MADE[kind]()
    torch.manual_seed(torch_seed)
    before = torch.get_rng_state()
    model.fit(X, out=out, progress=False, **how)
    assert torch.equal(torch.get_rng_state(), before)
    return model


def assert_equal(one: Model, other: Model) -> None:
    one, other = (model.fitted.weights() for model in (one, other))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


@pytest.fixture(autouse=True)
def _own_generators():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("kind", NAMES)
def test_the_global_generator_decides_nothing(kind: str) -> None:
    assert_equal(fitted(kind, torch_seed=1), fitted(kind, torch_seed=2))


@pytest.mark.parametrize("kind", NAMES)
def test_a_run_that_is_cut_at_odd_steps_equals_a_whole_one(kind: str, tmp_path: Path) -> None:
    whole = fitted(kind, tmp_path / "whole")
    for seed, cut in enumerate(("3 steps", "2 steps", None)):
        model = fitted(kind, tmp_path / "cut", seed, resume=True, stop_after=cut)
    assert_equal(model, whole)


def test_a_budget_of_seconds_leaves_the_generator_alone(tmp_path: Path) -> None:
    fitted("flow-matching", tmp_path / "run", budget=1.5)


def test_each_step_and_each_seed_drops_out_others(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    forward = Noisy.forward

    def watched(self: Noisy, x: Tensor, *others: Tensor) -> Tensor:
        drawn.extend(torch.rand(1).tolist() if self.training else [])
        return forward(self, x, *others)

    monkeypatch.setattr(Noisy, "forward", watched)
    for seed in (0, 1, 2):
        FlowMatching(Noisy(3, 2), n_steps=6, n_rounds=2, seed=seed).fit(X, progress=False)
    assert len(set(drawn)) == len(drawn) == 18


def test_an_embedding_with_dropout() -> None:
    def trained(seed: int) -> FlowMatching:
        torch.manual_seed(seed)
        flow = PosteriorFlow(embedding=Noisy(2, 2), n_steps=5, n_rounds=1)
        before = torch.get_rng_state()
        flow.fit(X, X[:, :2] + 1, progress=False)
        assert torch.equal(torch.get_rng_state(), before)
        return flow.model

    assert_equal(trained(1), trained(2))
