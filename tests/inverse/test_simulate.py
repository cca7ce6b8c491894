"""Pairs of a prior and a simulator: priors, seeds, failures, several processes and threads."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from energyflow._core.progress import Progress
from energyflow.inverse import simulate
from energyflow.inverse._prior import draw

PRIOR = stats.uniform([0, -1], [1, 2])


def noisy(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([theta.sum(), *(theta + rng.normal(size=2))])


def noisy_batch(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return theta[:, 0] + rng.normal(size=len(theta))


def legacy(theta: np.ndarray) -> list[float]:
    return [float(theta[0]), random.random(), np.random.normal()]  # noqa: NPY002


def failing(theta: np.ndarray) -> np.ndarray:
    if theta[0] > 0.5:
        raise ArithmeticError("too far")
    return np.log(theta) if theta[1] > 0 else np.full(2, np.nan)


@pytest.mark.parametrize(
    ("prior", "d"),
    [
        (stats.norm(), 1),
        (PRIOR, 2),
        (stats.multivariate_normal(np.zeros(3)), 3),
        (stats.multivariate_normal([0.0]), 1),
        ([stats.norm(), stats.expon(), PRIOR], 4),
        (lambda n, rng: rng.normal(size=(n, 5)), 5),
    ],
)
def test_priors(prior: Any, d: int) -> None:
    one, same = (draw(prior, 50, np.random.default_rng(3)) for _ in range(2))
    assert one.shape == (50, d)
    np.testing.assert_array_equal(one, same)
    assert len(np.unique(one[:, 0])) == 50


def test_priors_of_torch_leave_the_global_generator_alone() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    d = torch.distributions
    before = torch.random.get_rng_state()
    for prior, size in (
        (d.Uniform(torch.zeros(2), torch.ones(2)), 2),
        (d.MultivariateNormal(torch.zeros(3), torch.eye(3)), 3),
        ([d.Gamma(2.0, 1.0), d.Normal(0.0, 1.0)], 2),
    ):
        pairs = simulate(prior, lambda theta: torch.cat([theta, torch.randn(1)]), 20, rng=1)
        again = simulate(prior, lambda theta: torch.cat([theta, torch.randn(1)]), 20, rng=1)
        assert isinstance(pairs.parameters, torch.Tensor)
        assert pairs.observations.shape == (20, size + 1)
        assert torch.equal(pairs.observations, again.observations)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(TypeError, match="prior must be distributions of one library"):
        simulate([d.Normal(0.0, 1.0), stats.norm()], noisy, 5)


@pytest.mark.parametrize("simulator", [noisy, legacy, lambda theta: np.float32(theta[0])])
def test_pairs_depend_on_the_seed_alone(simulator: Any) -> None:
    pytest.importorskip("joblib", reason="joblib is an extra")
    one = simulate(PRIOR, simulator, 37, rng=5)
    several = simulate(PRIOR, simulator, 37, rng=5, n_jobs=2)
    assert len(one) == 37
    np.testing.assert_array_equal(one.parameters, several.parameters)
    np.testing.assert_array_equal(one.observations, several.observations)
    if simulator is noisy:
        other = simulate(PRIOR, simulator, 37, rng=6)
        assert (one.observations != other.observations).all()
        threads = simulate(PRIOR, simulator, 37, rng=5, n_jobs=2, workers="threads")
        np.testing.assert_array_equal(one.observations, threads.observations)


def test_batches() -> None:
    pytest.importorskip("joblib", reason="joblib is an extra")
    one = simulate(PRIOR, noisy_batch, 2500, batched=True)
    assert one.observations.shape == (2500, 1)
    several = simulate(PRIOR, noisy_batch, 2500, batched=True, n_jobs=2, workers="threads")
    np.testing.assert_array_equal(one.observations, several.observations)
    np.testing.assert_array_equal(
        simulate(PRIOR, lambda theta: theta.sum(1), 9, batched=True).observations,
        simulate(PRIOR, np.sum, 9).observations,
    )


@pytest.mark.parametrize("batched", [False, True])
def test_simulators_may_use_a_buffer_again(batched: bool) -> None:
    buffer = np.empty((1000, 2) if batched else 2)

    def simulator(theta: np.ndarray) -> np.ndarray:
        return np.multiply(theta, 2, out=buffer[: len(theta)])

    pairs = simulate(PRIOR, simulator, 1500 if batched else 20, batched=batched)
    np.testing.assert_array_equal(pairs.observations, 2 * pairs.parameters)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("with_torch", [False, True])
def test_simulators_may_change_parameters_in_place(batched: bool, with_torch: bool) -> None:
    prior: Any = PRIOR
    if with_torch:
        torch = pytest.importorskip("torch", reason="torch is an extra")
        prior = torch.distributions.Uniform(torch.zeros(2), torch.ones(2))

    def simulator(theta: Any) -> Any:
        theta *= 2
        return theta

    pairs = simulate(prior, simulator, 20, batched=batched)
    np.testing.assert_array_equal(
        np.asarray(pairs.parameters), np.asarray(draw(prior, 20, np.random.default_rng(0)))
    )
    np.testing.assert_array_equal(np.asarray(pairs.observations), 2 * np.asarray(pairs.parameters))


def test_global_generators_are_as_before() -> None:
    random.seed(4)
    np.random.seed(4)  # noqa: NPY002
    expected = random.Random(4).random(), np.random.RandomState(4).normal()
    simulate(PRIOR, legacy, 5)
    assert (random.random(), np.random.normal()) == expected  # noqa: NPY002


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("batched", [False, True])
def test_failures_are_dropped_and_counted(n_jobs: int, batched: bool) -> None:
    pytest.importorskip("joblib", reason="joblib is an extra")
    simulator: Any = (lambda theta: failing(theta[0])[None]) if batched else failing
    with pytest.warns(UserWarning, match="of 80 simulations failed, the first") as warned:
        pairs = simulate(PRIOR, simulator, 80, n_jobs=n_jobs, batched=batched)
    assert len(warned) == 1
    drawn = draw(PRIOR, 80, np.random.default_rng(0))
    kept = drawn[(drawn[:, 0] <= 0.5) & (drawn[:, 1] > 0)]
    assert pairs.n_failed == 80 - len(kept)
    np.testing.assert_array_equal(pairs.parameters, kept)
    np.testing.assert_array_equal(pairs.observations, np.log(kept))


def test_all_failed() -> None:
    with pytest.raises(RuntimeError, match=r"9 of 9 .* ZeroDivisionError: division") as raised:
        simulate(PRIOR, lambda theta: 1 / 0, 9)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    with pytest.raises(RuntimeError, match="with NaN or infinite numbers"):
        simulate(PRIOR, lambda theta: theta * np.nan, 9)
    with pytest.raises(RuntimeError, match="TypeError: simulator must give real numbers, got <U1"):
        simulate(PRIOR, lambda theta: "a", 9)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_more_is_run_once_all_of_the_first_failed(n_jobs: int) -> None:
    pytest.importorskip("joblib", reason="joblib is an extra")
    calls = []

    def simulator(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        calls.append(theta)
        raise ArithmeticError("never")

    with pytest.raises(RuntimeError, match=r"100 of 100 .* never; the other 4900 were not run"):
        simulate(PRIOR, simulator, 5000, n_jobs=n_jobs, workers="threads")
    assert len(calls) == 100


def test_an_interrupt_leaves_the_generators_as_before() -> None:
    def simulator(theta: np.ndarray) -> np.ndarray:
        if theta[0] > 0.9:
            raise KeyboardInterrupt
        return theta + np.random.normal()  # noqa: NPY002

    np.random.seed(4)  # noqa: NPY002
    with pytest.raises(KeyboardInterrupt):
        simulate(PRIOR, simulator, 200)
    assert np.random.normal() == np.random.RandomState(4).normal()  # noqa: NPY002


def test_progress_counts_simulations(capsys: Any, monkeypatch: Any) -> None:
    steps = []
    monkeypatch.setattr(Progress, "update", lambda bar, step: steps.append((step, bar.total)))
    simulate(PRIOR, noisy, 125)
    assert steps[:2] == [(10, 125), (20, 125)]
    assert steps[-2:] == [(120, 125), (125, 125)]
    monkeypatch.undo()
    simulate(PRIOR, noisy, 5)
    assert not capsys.readouterr().err
    pairs = simulate(PRIOR, noisy, 5, progress=True)
    assert str(pairs) == "Simulations(parameters (5, 2), observations (5, 3), n_failed=0)"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, noisy, 5), TypeError, r"prior must be a distribution .*, got int"),
        (([], noisy, 5), TypeError, "prior must be a distribution .*, got list"),
        ((lambda n, rng: np.zeros(n), noisy, 5), ValueError, r"prior must give .* got \(5,\)"),
        ((lambda n, rng: None, noisy, 5), ValueError, r"prior must give .*NoneType"),
        ((PRIOR, 3, 5), TypeError, "simulator must be callable, got int"),
        ((PRIOR, noisy, 0), ValueError, "n must be at least 1"),
        ((PRIOR, noisy, 5, "a"), TypeError, "rng must be"),
        ((PRIOR, lambda theta: theta[theta > 0], 20), ValueError, "observations of one shape"),
    ],
)
def test_bad_input(arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        simulate(*arguments)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="observation for each of 5 parameters"):
        simulate(PRIOR, lambda theta: theta.sum(), 5, batched=True)
    with pytest.raises(ValueError, match="n_jobs must be at least 1"):
        simulate(PRIOR, noisy, 5, n_jobs=0)
    with pytest.raises(ValueError, match="workers must be one of processes, threads"):
        simulate(PRIOR, noisy, 5, workers="gpus")
    with pytest.raises(TypeError, match="batched must be True or False"):
        simulate(PRIOR, noisy, 5, batched=1)
