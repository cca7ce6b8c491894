"""Units and bounds of parameters: there and back, never outside, slopes, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from energyflow.inverse._learned.bounds import Bounds
from energyflow.inverse._learned.parameters import ParameterTransform

INF = np.inf
LOW, HIGH = np.array([-INF, 2.0, -INF, -1e-6]), np.array([INF, INF, -3e6, 3e-6])


def _points(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, 4))
    return np.stack(
        [1e6 * x[:, 0] + 1e7, 2 + np.exp(x[:, 1]), -3e6 - np.exp(x[:, 2]),
         -1e-6 + 4e-6 * rng.random(n)], axis=1,
    )  # fmt: skip


def test_there_and_back(rng: np.random.Generator) -> None:
    points = _points(rng, 1000)
    transform = ParameterTransform.of(points, Bounds(LOW, HIGH))
    z = transform.apply(points)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(transform.undo(z), points, rtol=1e-9)


def test_a_uniform_prior_becomes_normal(rng: np.random.Generator) -> None:
    points = rng.uniform(3, 5, size=(20_000, 1))
    transform = ParameterTransform.of(points, Bounds.of((3, 5)))
    assert transform.mean[0] == pytest.approx(0, abs=0.03)
    assert transform.scale[0] == pytest.approx(1, abs=0.03)
    assert stats.kstest(transform.apply(points)[:, 0], "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_never_outside(dtype: type, rng: np.random.Generator) -> None:
    low, high = np.array([0.1, 0.1, -INF, 0.3]), np.array([0.7, INF, 0.7, 0.300001])
    inside = [[0.5, 0.5, 0.5, 0.3000005]] * 2
    transform = ParameterTransform.of(np.array(inside), Bounds(low, high))
    extreme = np.concatenate([rng.normal(size=(99, 4)) * 40, np.full((1, 4), 8000.0)])
    points = transform.undo(np.concatenate([extreme, -extreme]).astype(dtype))
    assert points.dtype == dtype
    assert np.isfinite(points).all()
    wide = points[:, :3].astype(np.float64)
    assert (wide >= low[:3]).all()
    assert (wide <= high[:3]).all()
    if dtype is not np.float16:  # which has no number between the last two bounds
        assert ((points[:, 3] >= low[3]) & (points[:, 3] <= high[3])).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_on_a_bound_are_those_that_were_rounded_to_it(dtype: type) -> None:
    points = np.array([[0.1, 0.0], [0.3, 2.0], [0.2, 1.0]], dtype)
    z = ParameterTransform.of(points, Bounds.of(([0.1, 0], [0.3, INF]))).apply(points)
    assert np.isfinite(z).all()
    assert z[0, 0] == pytest.approx(-z[1, 0], rel=0.05)
    assert z[:, 1].argmin() == 0


def test_points_outside_are_counted(rng: np.random.Generator) -> None:
    points = rng.uniform(0, 1, size=(50, 2))
    points[:3, 0], points[2:4, 1] = 1.01, -1e-9
    with pytest.raises(ValueError, match=r"4 of 50 outside, .* 1.01 in column 0, .* 0 and 1$"):
        ParameterTransform.of(points, Bounds.of((0, 1)))


def test_slopes_are_derivatives(rng: np.random.Generator) -> None:
    points = _points(rng, 20)
    transform = ParameterTransform.of(points, Bounds(LOW, HIGH)).rescaled(np.full(4, 0.5))
    beside = np.stack([points[:, 0] * 2, *(np.broadcast_to(b, 20) for b in (2, -3e6, -1e-6))], 1)
    room = np.minimum(np.abs(points - beside), np.abs(HIGH - points)).min(axis=0)
    logs = np.zeros(20)
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-3 * room[k]
        up, down = transform.apply(points + step), transform.apply(points - step)
        logs += np.log((up - down)[:, k] / (2 * step[k]))
    np.testing.assert_allclose(transform.log_slope(points), logs, rtol=1e-4, atol=1e-4)


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    points = rng.normal(size=(100, 2))
    units = np.array([1e-6, 1e6])
    plain, scaled = ParameterTransform.of(points), ParameterTransform.of(points * units)
    np.testing.assert_allclose(scaled.apply(points * units), plain.apply(points), rtol=1e-9)


def test_constant_parameters_keep_their_scale() -> None:
    points = np.full((9, 2), 0.1)
    transform = ParameterTransform.of(points)
    np.testing.assert_array_equal(transform.scale, 1)
    np.testing.assert_array_equal(transform.apply(points), 0)


def test_files(tmp_path: Path, rng: np.random.Generator) -> None:
    transform = ParameterTransform.of(_points(rng, 30), Bounds(LOW, HIGH))
    transform.save(path := tmp_path / "parameters.npz")
    again = ParameterTransform.load(path)
    for name in ("low", "high", "mean", "scale"):
        np.testing.assert_array_equal(getattr(again, name), getattr(transform, name))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": np.zeros(3)}, "of one length"),
        ({"low": np.zeros((2, 2))}, "of one length"),
        ({"mean": np.array([0, np.nan])}, "finite means and positive scales"),
        ({"scale": np.array([1.0, 0.0])}, "finite means and positive scales"),
        ({"low": np.array([0.0, 1.0])}, "low < high"),
        ({"high": np.array([np.nan, 1.0])}, "low < high"),
    ],
)
def test_damaged_files(changed: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    whole = {"low": np.zeros(2), "high": np.ones(2), "mean": np.zeros(2), "scale": np.ones(2)}
    np.savez(path := tmp_path / "parameters.npz", **(whole | changed))
    with pytest.raises(ValueError, match=rf"parameters\.npz: .*{message}"):
        ParameterTransform.load(path)
