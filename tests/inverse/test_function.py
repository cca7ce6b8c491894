"""Plain functions as operators and simulators, and pairs without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energyflow.inverse import Function, Gaussian, Linear, Operator, Problem


def test_a_function_of_a_batch(rng: np.random.Generator) -> None:
    operator = Function(lambda theta: theta[:, 0] ** 2)
    theta = rng.normal(size=(5, 2)).astype(np.float32)
    assert operator(theta).dtype == np.float32
    np.testing.assert_allclose(operator(theta), theta[:, :1] ** 2)
    assert not operator.lifts
    with pytest.raises(TypeError, match="has no lift"):
        operator.lift(theta)
    problem = Function(np.sin) + Gaussian(0.1)
    assert str(problem) == "sin + gaussian"
    assert problem.residuals(theta, np.sin(theta[0]))[0] == pytest.approx(0, abs=1e-5)


def test_a_simulator_draws_by_the_seed(rng: np.random.Generator) -> None:
    def noisy(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return theta + rng.normal(size=theta.shape)

    problem, theta = Problem(Function(noisy)), rng.normal(size=(4, 2))
    np.testing.assert_array_equal(problem.simulate(theta, 3), problem.simulate(theta, 3))
    assert (problem.simulate(theta, 3) != problem.simulate(theta, 4)).all()
    with pytest.raises(TypeError, match="noisy draws at random"):
        problem.operator(theta)
    with pytest.raises(ValueError, match="residuals need the noise"):
        problem.residuals(theta, theta[0])


def test_functions_of_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    operator = Function(torch.sin, library="torch")
    theta = np.ones((3, 2))
    np.testing.assert_allclose(operator(theta), np.sin(theta))
    np.testing.assert_allclose(operator(torch.ones(3, 2)), np.sin(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda theta: theta.sum(), ValueError, r"must take a batch \(n, d\) .* got \(\) for 3"),
        (lambda theta: theta[0], ValueError, r"got \(2,\) for 3 parameters; .*batched=False"),
        (lambda theta: [1, 2, 3], TypeError, r"must give an array \(n, ...\), got list"),
        (lambda theta: theta * np.nan, ValueError, "observations to be finite"),
    ],
)
def test_other_functions_are_refused(function: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Function(function)(np.ones((3, 2)))


def test_errors_of_a_function_say_what_it_was_given() -> None:
    with pytest.raises(IndexError) as raised:
        Function(lambda theta: theta[:, 7])(np.ones((3, 2)))
    assert "batch of shape (3, 2)" in raised.value.__notes__[0]
    with pytest.raises(TypeError, match="function must be callable, got int"):
        Function(3)


def test_operators_of_before_warn() -> None:
    with pytest.warns(DeprecationWarning, match="Half._apply should be called forward"):

        class Half(Operator):
            name = "half"

            def _apply(self, images: Any) -> Any:
                return images / 2

    np.testing.assert_array_equal(Half()(np.ones((2, 2))), 0.5)


def test_problems_without_noise_are_saved(tmp_path: Path) -> None:
    Problem(Linear([1.0, 2.0])).save(tmp_path / "p.json")
    again = Problem.load(tmp_path / "p.json")
    assert again.noise is None
    np.testing.assert_array_equal(again.simulate(np.ones((1, 2)), 0), [[1, 2]])
    with pytest.raises(TypeError, match="noise must be a Noise"):
        Problem(Linear([1.0]), 0.1)
