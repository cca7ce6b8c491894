"""Loss modules give what the functions give, with directions that are new in every call."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest

import energyflow as ef

torch = pytest.importorskip("torch", reason="losses are modules of torch")
from energyflow import losses  # noqa: E402


@pytest.fixture
def sets():
    generator = torch.Generator().manual_seed(0)
    how = {"generator": generator, "dtype": torch.float64}
    return torch.randn(3, 20, 2, **how), torch.randn(3, 15, 2, **how) + 0.5


@pytest.mark.parametrize("estimator", ["U", "V"])
def test_exact_energy_distance(estimator: str, sets) -> None:
    values = ef.energy_distance(*sets, exponent=1.5, estimator=estimator)
    for reduction, expected in (("none", values), ("mean", values.mean()), ("sum", values.sum())):
        loss = losses.EnergyDistance(1.5, estimator=estimator, reduction=reduction)
        torch.testing.assert_close(loss(*sets), expected)


def test_weights_of_points(sets) -> None:
    x, y = sets
    a = torch.arange(1.0, 21, dtype=torch.float64)
    a /= a.sum()
    loss = losses.EnergyDistance(estimator="V")
    torch.testing.assert_close(loss(x, y, a), ef.energy_distance(x, y, a).mean())
    torch.testing.assert_close(
        loss(x, y, b=a[:15] / a[:15].sum()), loss(y, x, a[:15] / a[:15].sum())
    )


@pytest.mark.parametrize("kind", [losses.SlicedEnergyDistance, losses.SlicedWasserstein])
def test_directions_are_new_in_every_call_and_resume(kind: type, sets) -> None:
    loss = kind(8, rng=3)
    first, second = loss(*sets), loss(*sets)
    assert first != second
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    third = loss(*sets)
    file.seek(0)
    resumed = kind(8, rng=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed(*sets) == third
    assert kind(8, rng=3)(*sets) == first
    assert kind(8, rng=4)(*sets) != first
    assert copy.deepcopy(resumed)(*sets) == resumed(*sets)


def test_evaluation_always_sees_the_same_directions(sets) -> None:
    loss = losses.SlicedEnergyDistance(8)
    before = loss.state_dict()
    loss.eval()
    assert loss(*sets) == loss(*sets)
    assert loss.state_dict() == before
    assert loss.train()(*sets) != loss.eval()(*sets)


def test_slices_approach_all_pairs(sets) -> None:
    sliced = losses.SlicedEnergyDistance(4000, estimator="V")(*sets)
    torch.testing.assert_close(
        sliced, losses.EnergyDistance(estimator="V")(*sets), rtol=0.01, atol=0
    )


def test_sliced_wasserstein_of_a_shift() -> None:
    """In one dimension it is the shift, and its square with root=False."""
    x = torch.linspace(0, 1, 30, dtype=torch.float64)[:, None]
    assert losses.SlicedWasserstein()(x, x + 0.3).item() == pytest.approx(0.3)
    assert losses.SlicedWasserstein(root=False)(x, x + 0.3).item() == pytest.approx(0.09)
    assert losses.SlicedWasserstein(p=1.0)(x, x - 0.3).item() == pytest.approx(0.3)


def test_a_generator_of_torch_draws_the_directions(sets) -> None:
    values = [
        losses.SlicedEnergyDistance(8, rng=torch.Generator().manual_seed(seed))(*sets)
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_generators_of_torch_keep_what_the_module_promises(sets) -> None:
    """After eval() the same directions, and a resumed training those of one without a cut."""
    loss = losses.SlicedEnergyDistance(8, rng=torch.Generator().manual_seed(3))
    first = loss(*sets)
    state = loss.state_dict()
    second = loss(*sets)
    loss.eval()
    assert loss(*sets) == loss(*sets) == first
    resumed = losses.SlicedEnergyDistance(8, rng=torch.Generator().manual_seed(9))
    resumed.load_state_dict(state)
    assert resumed(*sets) == second
    with pytest.raises(TypeError, match=r"an integer or a torch\.Generator, got Generator"):
        losses.SlicedEnergyDistance(rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "loss",
    [losses.EnergyDistance(), losses.SlicedEnergyDistance(16), losses.SlicedWasserstein(16)],
    ids=lambda loss: type(loss).__name__,
)
def test_a_mean_is_learned(loss) -> None:
    generator = torch.Generator().manual_seed(1)
    mean = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([mean], 0.1)
    for _ in range(80):
        x, y = torch.randn(2, 100, 2, generator=generator)
        optimiser.zero_grad()
        loss(x + mean, y + 1).backward()
        optimiser.step()
    torch.testing.assert_close(mean.detach(), torch.ones(2), atol=0.2, rtol=0)


def test_it_prints_its_settings() -> None:
    assert str(losses.SlicedEnergyDistance(8, 1.5)) == (
        "SlicedEnergyDistance(reduction='mean', n_projections=8, slicing='auto', rng=0, "
        "exponent=1.5, estimator='U')"
    )


def test_bad_settings() -> None:
    for call, word in (
        (lambda: losses.EnergyDistance(2.0), "exponent"),
        (lambda: losses.EnergyDistance(estimator="W"), "estimator"),
        (lambda: losses.EnergyDistance(reduction="max"), "reduction"),
        (lambda: losses.SlicedEnergyDistance(0), "n_projections"),
        (lambda: losses.SlicedEnergyDistance(rng=-1), "rng"),
        (lambda: losses.SlicedEnergyDistance(slicing="foo"), "slicing must"),
        (lambda: losses.SlicedWasserstein(slicing="patches"), "PatchSlicing"),
        (lambda: losses.SlicedWasserstein(p=0.5), "p must"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
    with pytest.raises(TypeError, match="root must be True or False"):
        losses.SlicedWasserstein(root=1)
