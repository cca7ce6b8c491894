"""What `rng` may be: all that NumPy's `default_rng` takes, and generators of array libraries."""

from __future__ import annotations

import numpy as np
import pytest

import energyflow as ef
from energyflow import metrics
from energyflow._core.random import as_generator

X = np.random.default_rng(0).normal(size=(40, 3))
Y = X[::-1] + 1
MOVING = {
    "Generator": lambda: np.random.default_rng(7),
    "BitGenerator": lambda: np.random.PCG64(7),
    "RandomState": lambda: np.random.RandomState(7),
}


def distance(rng) -> float:
    return ef.sliced_energy_distance(X, Y, n_projections=5, slicing="iid", rng=rng)


@pytest.mark.parametrize(
    "seed",
    [[7], (7,), np.int64(7), np.array(7), np.array([7], np.uint8), np.random.SeedSequence(7)],
    ids=lambda seed: type(seed).__name__,
)
def test_one_integer_in_any_form(seed) -> None:
    assert distance(seed) == distance(seed) == distance(7)
    assert as_generator(seed).random() == np.random.default_rng(7).random()


def test_several_integers_and_spawned_seeds_differ() -> None:
    seeds = [7, [7, 0, 1], [7, 1], *np.random.SeedSequence(7).spawn(2)]
    assert len({float(distance(seed)) for seed in seeds}) == len(seeds)
    for seed in seeds:
        assert as_generator(seed).random() == np.random.default_rng(seed).random()


@pytest.mark.parametrize("kind", MOVING)
def test_generators_move_on(kind: str) -> None:
    one, other = MOVING[kind](), MOVING[kind]()
    first, second = distance(one), distance(one)
    assert first != second
    assert (first, second) == (distance(other), distance(other))


def test_global_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for rng in (None, 7, [7], MOVING["RandomState"]()):
        distance(rng)
        as_generator(rng).random()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_metrics_take_them_too() -> None:
    truths = X[:20, None]
    samples = np.repeat(truths, 5, axis=1)  # all ties: ranks are chance
    ranks = [metrics.sbc(samples, truths[:, 0], rng).ranks for rng in ([7], 7)]
    np.testing.assert_array_equal(*ranks)
    torch = pytest.importorskip("torch", reason="a generator of torch")
    drawn = [
        metrics.sbc(samples, truths[:, 0], torch.Generator().manual_seed(s)).ranks for s in (0, 0)
    ]
    np.testing.assert_array_equal(*drawn)


def test_models_sample_from_generators_of_torch() -> None:
    models = pytest.importorskip("energyflow.models", reason="models are an extra")
    import torch

    model = models.FlowMatching(n_steps=5, batch_size=8)
    model.fit(X.astype(np.float32), progress=False)
    generator = torch.Generator().manual_seed(3)
    one, other = model.sample(4, rng=generator), model.sample(4, rng=generator)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(model.sample(4, rng=generator.manual_seed(3)), one)
    np.testing.assert_array_equal(model.sample(4, rng=[3]), model.sample(4, rng=3))
