"""Bad input gets an error that names the argument, what was expected and what came."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import energyflow as ef

GOOD = np.random.default_rng(0).normal(size=(6, 3))
OTHER = np.random.default_rng(1).normal(size=(5, 3))
NAN = np.where(np.arange(18).reshape(6, 3) == 7, np.nan, GOOD)
INF = np.where(np.arange(15).reshape(5, 3) >= 13, np.inf, OTHER)
UNIFORM = np.full(6, 1 / 6)

# faults that the exact and the sliced functions share: (arguments, error, message)
SHARED = [
    (([["a"]], OTHER), {}, TypeError, "x must be real numbers, got text"),
    (([[0.0], [1.0, 2]], OTHER), {}, ValueError, r"x must be real numbers: .* inhomogeneous"),
    (({0.0}, OTHER), {}, TypeError, r"x must be an array .* got set"),
    ((GOOD, 3.0), {}, TypeError, r"y must be an array .* got float"),
    ((None, OTHER), {}, TypeError, r"x must be an array .* got NoneType"),
    ((GOOD + 0j, OTHER), {}, TypeError, r"x must have a real floating dtype .* got complex128"),
    ((GOOD.astype(object), OTHER), {}, TypeError, r"x must have a real floating dtype .* object"),
    ((np.ma.masked_array(GOOD), OTHER), {}, TypeError, r"x must be a plain array, got Masked"),
    ((GOOD.view(np.matrix), OTHER), {}, TypeError, r"x must be a plain array, got matrix"),
    ((GOOD[0], OTHER), {}, ValueError, r"x must have shape \(\.\.\., points, dim.* got \(3,\)"),
    ((GOOD, OTHER[0, 0]), {}, ValueError, r"y must have shape .* got \(\)"),
    ((GOOD[:0], OTHER), {}, ValueError, r"x must not be empty, got shape \(0, 3\)"),
    ((GOOD[:, :0], OTHER[:, :0]), {}, ValueError, r"x must not be empty, got shape \(6, 0\)"),
    ((GOOD, OTHER[:, :2]), {}, ValueError, r"x and y must have the same dimension, got 3 and 2"),
    ((GOOD[None].repeat(2, 0), OTHER[None].repeat(3, 0)), {}, ValueError, r"batch .* broadcast"),
    ((NAN, OTHER), {}, ValueError, r"x must be finite, got 1 NaN .* of 18 .* index \(2, 1\)"),
    ((GOOD, INF), {}, ValueError, r"y must be finite, got 2 NaN .* of 15 .* index \(4, 1\)"),
    ((GOOD, -INF), {}, ValueError, r"y must be finite, got 2 NaN or infinite"),
    ((GOOD[None], NAN[None]), {}, ValueError, r"y must be finite.* index \(0, 2, 1\)"),
    (
        (np.sign(GOOD) * 1.7e308, np.sign(OTHER) * 1.7e308),
        {},
        ValueError,
        r"small enough .* finite in .*float64",
    ),
    ((GOOD, OTHER), {"a": [1.0]}, ValueError, r"a must have shape \(\.\.\., 6\).* \(1,\)"),
    ((GOOD, OTHER), {"a": "1"}, TypeError, r"a must be an array .* got str"),
    ((GOOD, OTHER), {"a": UNIFORM[:5]}, ValueError, r"a must have shape \(\.\.\., 6\).* \(5,\)"),
    ((GOOD, OTHER), {"b": UNIFORM}, ValueError, r"b must have shape \(\.\.\., 5\), one weight"),
    ((GOOD, OTHER), {"a": UNIFORM * 2}, ValueError, r"a must sum to one .* off by 1"),
    ((GOOD, OTHER), {"a": UNIFORM - np.eye(6)[0]}, ValueError, r"a must be non-negative, got a"),
    ((GOOD, OTHER), {"a": UNIFORM * np.nan}, ValueError, r"a must be finite, got 6 NaN"),
    ((GOOD, OTHER), {"a": np.ones(6, int)}, ValueError, r"a must sum to one .* off by 5"),
    ((GOOD, OTHER), {"a": UNIFORM[None].repeat(2, 0)}, ValueError, r"a must have batch dim"),
    ((GOOD, OTHER), {"exponent": 0}, ValueError, r"exponent must lie strictly .* got 0"),
    ((GOOD, OTHER), {"exponent": 2}, ValueError, r"exponent must lie strictly .* got 2"),
    ((GOOD, OTHER), {"exponent": -1.0}, ValueError, r"exponent must lie strictly"),
    ((GOOD, OTHER), {"exponent": float("nan")}, ValueError, r"exponent must lie strictly"),
    ((GOOD, OTHER), {"exponent": "1"}, TypeError, r"exponent must be a number, got str"),
    ((GOOD, OTHER), {"exponent": True}, TypeError, r"exponent must be a number, got bool"),
    ((GOOD, OTHER), {"estimator": "W"}, ValueError, r"estimator must be one of V, U; got 'W'"),
    ((GOOD, OTHER), {"estimator": 1}, TypeError, r"estimator must be a string, got int"),
    ((GOOD[:1], OTHER), {"estimator": "U"}, ValueError, r"x must have at least 2 points .* got 1"),
    ((GOOD, OTHER[:1]), {"estimator": "U"}, ValueError, r"y must have at least 2 points"),
    ((GOOD, OTHER), {"estimator": "U", "a": np.eye(6)[2]}, ValueError, r"a must weigh at least 2"),
    ((GOOD, OTHER), {"chunk_size": 0}, ValueError, r"chunk_size must be at least 1, got 0"),
    ((GOOD, OTHER), {"chunk_size": 1.5}, TypeError, r"chunk_size must be an integer, got float"),
]
SLICED = [
    ({"n_projections": 0}, ValueError, r"n_projections must be at least 1, got 0"),
    ({"n_projections": -3}, ValueError, r"n_projections must be at least 1, got -3"),
    ({"n_projections": 2.5}, TypeError, r"n_projections must be an integer, got float"),
    ({"n_projections": None}, TypeError, r"n_projections must be an integer, got NoneType"),
    ({"slicing": "random"}, ValueError, r"slicing must be one of auto, iid, .* got 'random'"),
    ({"slicing": None}, TypeError, r"slicing must be a name or a Slicing object, got NoneType"),
    ({"slicing": "equispaced"}, ValueError, r"'equispaced' needs points in 2 dimensions, got 3"),
    ({"rng": "seed"}, TypeError, r"rng must be None, an int, .* got str"),
    ({"rng": -1}, ValueError, r"rng must be a non-negative seed, got -1"),
    ({"rng": True}, TypeError, r"rng must be None, an int, .* got bool"),
    ({"rng": [1, -1]}, ValueError, r"rng must be a non-negative seed, got \[1, -1\]"),
    ({"rng": [1, "2"]}, TypeError, r"rng must be .* got list"),
    ({"rng": np.array([0.5])}, TypeError, r"rng must be .* got ndarray"),
    ({"projections": [[1.0, 0, 0]]}, TypeError, r"projections must be an array"),
    ({"projections": np.ones(3)}, ValueError, r"projections must have shape \(P, 3\)"),
    ({"projections": np.eye(2)}, ValueError, r"projections must have shape \(P, 3\).* \(2, 2\)"),
    ({"projections": np.empty((0, 3))}, ValueError, r"projections must have shape \(P, 3\)"),
    ({"projections": 2 * np.eye(3)}, ValueError, r"projections must have rows of length one"),
    ({"projections": np.eye(3) * np.nan}, ValueError, r"projections must be finite, got 9"),
    ({"projections": np.eye(3), "n_projections": 4}, ValueError, r"n_projections must be left out"),
    (
        {"projections": np.eye(3), "n_projections": 128},
        ValueError,
        r"equal to the 3 projections that are given, got 128",
    ),
]  # fmt: skip


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize(("arrays", "how", "error", "message"), SHARED)
def test_faults_in_all_distances(arrays, how, error, message, sliced) -> None:
    functions = (
        [ef.sliced_energy_distance, ef.sliced_energy_gradient, ef.sliced_energy_value_and_gradient]
        if sliced
        else [ef.energy_distance, ef.energy_gradient]
    )
    for function in functions:
        with pytest.raises(error, match=message):
            function(*arrays, **how)


@pytest.mark.parametrize(("how", "error", "message"), SLICED)
def test_faults_in_sliced_distances(how, error, message) -> None:
    for function in (ef.sliced_energy_distance, ef.sliced_energy_gradient):
        with pytest.raises(error, match=message):
            function(GOOD, OTHER, **how)


def test_faults_in_every_library(xp) -> None:
    good, other = xp.asarray(GOOD), xp.asarray(OTHER)
    for arrays, how, error, message in SHARED:
        if not all(type(v) is np.ndarray and v.dtype.kind in "fib" for v in arrays):
            continue
        if any(type(v) is not np.ndarray and name in "ab" for name, v in how.items()):
            continue
        if any(0 in v.shape for v in arrays) and xp.name == "array-api-strict":
            continue
        converted = {k: xp.asarray(v) if k in "ab" else v for k, v in how.items()}
        with pytest.raises(error, match=message):
            ef.sliced_energy_gradient(*(xp.asarray(v) for v in arrays), **converted)
    for how, error, message in SLICED:
        if isinstance(how.get("projections"), np.ndarray):
            how = {**how, "projections": xp.asarray(how["projections"])}
        with pytest.raises(error, match=message):
            ef.sliced_energy_distance(good, other, **how)


def test_mixed_libraries_are_named() -> None:
    import jax.numpy as jnp
    import torch

    with pytest.raises(TypeError, match="x and y must come from one array library, got numpy and"):
        ef.energy_distance(GOOD, torch.asarray(OTHER))
    with pytest.raises(TypeError, match="got torch and jax"):
        ef.sliced_energy_distance(torch.asarray(GOOD), jnp.asarray(OTHER))
    with pytest.raises(TypeError, match="x and a must come from one array library"):
        ef.energy_distance(GOOD, OTHER, torch.asarray(UNIFORM))
    with pytest.raises(TypeError, match="x and projections must come from one array library"):
        ef.sliced_energy_distance(torch.asarray(GOOD), torch.asarray(OTHER), projections=np.eye(3))
    with pytest.raises(TypeError, match="particles and target must come from one array library"):
        ef.ParticleFlow(GOOD).run(torch.asarray(GOOD), 1)


def test_mixed_devices_are_named() -> None:
    import array_api_strict as strict
    import torch

    second = strict.asarray(OTHER, device=strict.Device("device1"))
    with pytest.raises(TypeError, match=r"must be on one device, got .*CPU.* and .*device1"):
        ef.energy_distance(strict.asarray(GOOD), second)
    with pytest.raises(TypeError, match="must be on one device, got cpu and meta"):
        ef.energy_distance(torch.asarray(GOOD), torch.asarray(OTHER, device="meta"))


def test_sparse_tensors_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="y must be a dense tensor, got one with layout"):
        ef.sliced_energy_distance(torch.asarray(GOOD), torch.asarray(OTHER).to_sparse())


def test_weights_and_directions_that_require_grad() -> None:
    import torch

    x, y = torch.asarray(GOOD), torch.asarray(OTHER)
    with pytest.raises(TypeError, match="a must not require grad"):
        ef.energy_distance(x, y, torch.asarray(UNIFORM).requires_grad_())
    with pytest.raises(TypeError, match="projections must not require grad"):
        ef.sliced_energy_distance(
            x, y, projections=torch.eye(3, dtype=torch.float64).requires_grad_()
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 3), ValueError, "n must be at least 1, got 0"),
        ((3, 0), ValueError, "d must be at least 1, got 0"),
        ((2.0, 3), TypeError, "n must be an integer, got float"),
        ((3, "3"), TypeError, "d must be an integer, got str"),
    ],
)
def test_sample_projections(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        ef.sample_projections(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "d must be at least 1, got 0"),
        ((2.5,), TypeError, "d must be an integer, got float"),
        ((3, 2.0), ValueError, "exponent must lie strictly between 0 and 2, got 2"),
    ],
)
def test_slicing_constant(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        ef.slicing_constant(*arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: ef.kernel_sum(x, y, kernel="gauss", method="direct"),
        lambda x, y: ef.witness_gradient(x, x, y, kernel="gauss"),
        lambda x, y: ef.mmd_squared(x, y, kernel="gauss"),
        lambda x, y: ef.kale(x, y, kernel="gauss", regularization=1.0),
        lambda x, y: ef.MMDFlow(y, "gauss"),
        lambda x, y: ef.energy_test(x, y, n_resamples=9),
        lambda x, y: ef.kernel_test(x, y, n_resamples=9),
        lambda x, y: ef.energy_distance(*np.ones((2, 5, 1, 8, 8))),
        lambda x, y: ef.sliced_energy_gradient(*np.ones((2, 5, 1, 8, 8)), n_projections=2),
    ],
)
def test_warnings_name_the_line_that_called(call) -> None:
    with pytest.warns(UserWarning, match=r"length 1|the columns differ|x of shape") as caught:
        call(GOOD * [1, 1, 99], OTHER * [1, 1, 99])
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]


def test_environment_variable_with_an_unknown_name() -> None:
    code = (
        "import numpy as np, energyflow as ef; ef.energy_distance(np.ones((2, 2)), np.ones((2, 2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"ENERGYFLOW_BACKEND": "fast"}, capture_output=True
    )
    assert b"backend must be one of" in done.stderr
    assert b"got 'fast'" in done.stderr
