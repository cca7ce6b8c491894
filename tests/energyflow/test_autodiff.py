"""Automatic differentiation of torch and JAX goes through the closed-form gradients."""

import energyflow_backends as backends
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import energyflow as ef

CASES = [
    (ef.energy_distance, {}),
    (ef.energy_distance, {"exponent": 1.5, "estimator": "U"}),
    (ef.sliced_energy_distance, {"rng": 0}),
    (ef.sliced_energy_distance, {"rng": 0, "exponent": 0.5, "estimator": "U"}),
]


@pytest.fixture
def sets(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) + 1


def closed_forms(x: np.ndarray, y: np.ndarray, distance, how: dict) -> tuple:
    sliced = distance is ef.sliced_energy_distance
    gradient = ef.sliced_energy_gradient if sliced else ef.energy_gradient
    return gradient(x, y, **how), gradient(y, x, **how)


@pytest.mark.parametrize(("distance", "how"), CASES)
def test_torch(sets: tuple, distance, how: dict) -> None:
    x, y = (torch.asarray(s).requires_grad_() for s in sets)
    value = distance(x, y, **how)
    (3 * value).backward()
    gx, gy = closed_forms(*sets, distance, how)
    np.testing.assert_allclose(x.grad, 3 * gx, atol=1e-12)
    np.testing.assert_allclose(y.grad, 3 * gy, atol=1e-12)
    fixed = torch.asarray(sets[1])
    (alone,) = torch.autograd.grad(distance(x, fixed, **how), x)
    np.testing.assert_allclose(alone, gx, atol=1e-12)
    (other,) = torch.autograd.grad(distance(fixed, x, **how), x)
    assert torch.isfinite(other).all()


def test_torch_through_a_network(sets: tuple) -> None:
    layer = torch.nn.Linear(3, 3, dtype=torch.float64)
    x, y = (torch.asarray(s) for s in sets)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = ef.sliced_energy_distance(layer(x), y, rng=0)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_torch_broadcast_batches(sets: tuple) -> None:
    x = torch.asarray(sets[0]).requires_grad_()
    y = torch.stack([torch.asarray(sets[1]), torch.asarray(sets[1]) + 1])
    ef.sliced_energy_distance(x, y, rng=0).sum().backward()
    parts = [ef.sliced_energy_gradient(sets[0], sets[1] + k, rng=0) for k in (0, 1)]
    np.testing.assert_allclose(x.grad, sum(parts), atol=1e-12)


def test_torch_gradient_carries_no_graph(sets: tuple) -> None:
    x, y = (torch.asarray(s).requires_grad_() for s in sets)
    assert not ef.sliced_energy_gradient(x, y, rng=0).requires_grad
    for backend in ("torch", "array-api", "numpy"):
        with ef.use_backend(backend):
            value, gradient = ef.sliced_energy_value_and_gradient(x, y, rng=0)
            assert not value.requires_grad
            assert not gradient.requires_grad


@pytest.mark.parametrize("way", [torch.no_grad, torch.inference_mode])
def test_torch_asks_for_no_gradient_where_none_is_recorded(sets: tuple, way, monkeypatch) -> None:
    asked = []
    whole = backends.exact_value_and_gradient

    def noted(points: backends.PointSets, request: backends.Request) -> backends.Result:
        asked.append(request.wrt)
        return whole(points, request)

    monkeypatch.setattr(backends, "exact_value_and_gradient", noted)
    x, y = (torch.asarray(s).requires_grad_() for s in sets)
    recorded = ef.energy_distance(x, y)
    with way():
        plain = ef.energy_distance(x, y)
    assert asked == [("x", "y"), ()]
    assert recorded.requires_grad
    assert not plain.requires_grad
    assert plain.item() == pytest.approx(recorded.item(), rel=1e-12)


@pytest.mark.parametrize(("distance", "how"), CASES)
def test_jax(sets: tuple, distance, how: dict) -> None:
    def loss(u, v):
        return 3 * distance(u, v, **how)

    expected = closed_forms(*sets, distance, how)
    x, y = (jnp.asarray(s) for s in sets)
    for transform in (lambda f: f, jax.jit):
        np.testing.assert_allclose(transform(loss)(x, y), 3 * distance(*sets, **how), rtol=1e-9)
        for found, closed in zip(transform(jax.grad(loss, (0, 1)))(x, y), expected, strict=True):
            np.testing.assert_allclose(found, 3 * closed, atol=1e-9)


def test_jax_vmap_and_key(sets: tuple) -> None:
    x, y = (jnp.asarray(s) for s in sets)
    shifts = jnp.arange(3.0)
    mapped = jax.vmap(lambda s: ef.sliced_energy_distance(x + s, y, rng=0))(shifts)
    for k, value in enumerate(mapped):
        np.testing.assert_allclose(
            value, ef.sliced_energy_distance(sets[0] + k, sets[1], rng=0), rtol=1e-9
        )

    @jax.jit
    def drawn(key):
        return ef.sliced_energy_distance(x, y, slicing="orthogonal", rng=key)

    assert drawn(jax.random.key(0)) != drawn(jax.random.key(1))


def test_jax_weights_that_are_constants_of_a_jitted_function(sets: tuple) -> None:
    x, y = (jnp.asarray(s) for s in sets)
    a = np.random.default_rng(0).dirichlet(np.ones(len(sets[0])))
    weights = jnp.asarray(a)
    found = jax.jit(lambda u, v: ef.sliced_energy_distance(u, v, weights, rng=0))(x, y)
    np.testing.assert_allclose(found, ef.sliced_energy_distance(*sets, a, rng=0), rtol=1e-9)


def test_jax_without_double_precision() -> None:
    import subprocess
    import sys

    code = (
        "import numpy as np, jax, jax.numpy as jnp, energyflow as ef\n"
        "rng = np.random.default_rng(0)\n"
        "x, y = rng.normal(size=(300, 3)), rng.normal(size=(200, 3)) + 1\n"
        "a = rng.dirichlet(np.ones(300))\n"
        "for w in (None, a):\n"
        "    expected = ef.sliced_energy_gradient(x, y, w, rng=0)\n"
        "    f = lambda u: ef.sliced_energy_distance(u, jnp.asarray(y),\n"
        "        None if w is None else jnp.asarray(w), rng=0)\n"
        "    for g in (jax.grad(f), jax.jit(jax.grad(f))):\n"
        "        found = g(jnp.asarray(x))\n"
        "        assert found.dtype == jnp.float32\n"
        "        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)\n"
        "        assert error < 1e-3, error\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
