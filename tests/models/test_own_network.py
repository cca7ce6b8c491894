"""The trained network is the user's: as a module of torch, in `torch.export`, and in pickles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import energyflow as ef
from energyflow import inverse, kernels, losses
from energyflow._core.random import as_source
from energyflow.models import DMMD, MLP, FlowGenerator, FlowMatching, Model, UNet

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
Y = X + RNG.normal(size=(40, 2))
SMALL = MLP(width=8, depth=1)
CHAIN = {"n_particles": 40, "n_projections": 4, "n_blocks": 2, "n_steps": 3}


def flow_matching(**settings: Any) -> FlowMatching:
    settings = {"n_steps": 4, "n_rounds": 1, "architecture": SMALL} | settings
    return FlowMatching(**settings).fit(X, np.arange(40) % 2, progress=False)


def generator(**settings: Any) -> FlowGenerator:
    return FlowGenerator(architecture=SMALL, **CHAIN | settings).fit(X, progress=False)


def dmmd() -> DMMD:
    return DMMD(n_steps=2, architecture=SMALL).fit(X, progress=False)


def test_before_training_there_is_no_network() -> None:
    with pytest.raises(RuntimeError, match="not trained"):
        _ = FlowMatching().network


def test_the_velocity_is_that_of_the_samples() -> None:
    model = flow_matching(solver="euler", sampling_steps=1)
    samples = model.sample(5, 1, rng=3)
    assert model.fitted is not None
    ends = model.fitted.scaling.apply(torch.from_numpy(samples))
    label = torch.tensor([[0.0, 1]]).expand(5, 2)
    # one step of Euler's method: x(1) = x(0) + v(x(0), 0)
    start = torch.from_numpy(as_source(3).host(0, 0).standard_normal((5, 2), np.float32))
    with torch.no_grad():
        velocity = model.network(start, label, torch.zeros(5, 1))
    torch.testing.assert_close(start + velocity, ends, rtol=1e-4, atol=1e-4)


def test_new_weights_change_the_samples() -> None:
    model = flow_matching()
    before, kept = model.sample(4, 0, rng=0), copy.deepcopy(model.network.state_dict())
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.zero_()
    assert not np.allclose(model.sample(4, 0, rng=0), before)
    model.network.load_state_dict(kept)
    np.testing.assert_array_equal(model.sample(4, 0, rng=0), before)


@pytest.mark.parametrize(("shared", "count"), [(False, 2), (True, 1)])
def test_a_chain_is_a_list_of_networks(shared: bool, count: int) -> None:
    network = generator(one_network=shared).network
    assert isinstance(network, torch.nn.ModuleList)
    assert len(network) == count
    assert network.to(torch.float64)[0] is network[0]


def test_features_are_a_module() -> None:
    features = dmmd().network(torch.zeros(3, 2), torch.full((3,), 0.5))
    assert features.shape[0] == 3
    assert bool(torch.isfinite(features).all())


def test_networks_can_be_exported() -> None:
    points, label, time = torch.randn(3, 2), torch.eye(2)[[0, 1, 1]], torch.rand(3, 1)
    network = flow_matching().network
    program = torch.export.export(network, (points, label, time))
    torch.testing.assert_close(program.module()(points, label, time), network(points, label, time))


MADE: dict[str, Callable[[], Any]] = {
    "energy kernel": lambda: kernels.Energy(),
    "Gauss kernel": lambda: kernels.Gauss(2.0),
    "Matern kernel": lambda: kernels.Matern(nu=2.5),
    "linear problem": lambda: inverse.Linear([1.0, 0.5]) + inverse.Gaussian(0.1),
    "blur": lambda: inverse.BlurDownsample(1.0, 2),
    "mask": lambda: inverse.Mask(np.eye(4) > 0),
    "Poisson noise": lambda: inverse.Poisson(5.0),
    "particle flow": lambda: ef.ParticleFlow(X),
    "MMD flow": lambda: ef.MMDFlow(X),
    "KALE flow": lambda: ef.KALEFlow(X, regularization=0.1),
    "conditional flow": lambda: ef.ConditionalFlow(X, Y),
    "result of a flow": lambda: ef.ParticleFlow(X, n_projections=4).run(Y, 2),
    "energy test": lambda: ef.energy_test(X, Y, n_resamples=19, rng=0),
    "kernel test": lambda: ef.kernel_test(X, Y, n_resamples=19, rng=0),
    "independence test": lambda: ef.independence_test(X, Y, n_resamples=19, rng=0),
    "column tests": lambda: ef.column_tests(X, Y, n_resamples=19, rng=0),
    "monitor": lambda: ef.EnergyMonitor(X, rng=0),
    "coupling": lambda: ef.conditional_coupling(X, None, Y, None, beta=0),
    "slicing": lambda: ef.HadamardSlicing(),
    "loss": lambda: losses.SlicedEnergyDistance(4),
    "untrained model": FlowMatching,
    "flow matching": flow_matching,
    "images": lambda: FlowMatching(
        n_steps=1, n_rounds=1, batch_size=4, architecture=UNet(channels=8, multipliers=(1,))
    ).fit(RNG.random((20, 1, 8, 8)), progress=False),
    "flow generator": generator,
    "dmmd": dmmd,
    "posterior": lambda: inverse.PosteriorFlow(
        inverse.Linear([1.0, 0.5]) + inverse.Gaussian(0.1), n_steps=2, architecture=SMALL
    ).fit(X, progress=False),
}


@pytest.mark.parametrize("name", MADE)
def test_everything_pickles(name: str) -> None:
    value = MADE[name]()
    again = pickle.loads(pickle.dumps(value))
    assert type(again) is type(value)
    if isinstance(value, Model) and value.fitted is not None:
        condition = None if value.fitted.description.conditions is None else 1
        one, other = (model.sample(3, condition, rng=0) for model in (value, again))
        np.testing.assert_array_equal(one, other)
    elif type(value).__repr__ is not object.__repr__:
        assert repr(again) == repr(value)


@pytest.mark.parametrize("kind", [DMMD, FlowGenerator, FlowMatching])
def test_what_is_no_network_is_refused(kind) -> None:
    with pytest.raises(TypeError, match=r"network must be a torch.nn.Module, got MLP; .*architec"):
        kind(MLP(8, 1))
