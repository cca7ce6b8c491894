"""Under `torch.func`, `torch.compile` and JAX's `vmap`: what loops, and closed forms, give."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.func import grad, jacrev, vmap

import energyflow as ef

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(2, 10, 3)), rng.normal(size=(8, 3)) + 0.5  # two sets x, one y
A = rng.dirichlet(np.ones(10), 2)  # weights of x, two of them
T = ef.sample_projections(6, 3, rng=0)

VALUES = {
    "exact": ef.energy_distance,
    "sliced": partial(ef.sliced_energy_distance, n_projections=6, rng=0),
    "U, r = 1.5": partial(
        ef.sliced_energy_distance, n_projections=6, rng=0, exponent=1.5, estimator="U"
    ),
    "hadamard": partial(ef.sliced_energy_distance, n_projections=6, rng=0, slicing="hadamard"),
    "sums": lambda x, y, a=None: ef.kernel_sum(y, x, a, 6, rng=0).sum(),
    "waves": lambda x, y, a=None: ef.kernel_sum(y, x, a, 6, kernel="gauss", rng=0).sum(),
    "mmd": partial(ef.mmd_squared, kernel="laplace"),
    "witness": lambda x, y, a=None: ef.witness(x, x + 1, y, a, kernel="gauss").sum(),
    "score": lambda x, y, a=None: ef.energy_score(x, y[0], a, estimator="U"),
    "crps": lambda x, y, a=None: ef.crps(x, y[0], a).sum(),
}


@pytest.fixture(params=VALUES)
def value(request):
    return VALUES[request.param]


def by_backward(value, *arrays):
    """What the ordinary graph gives: gradients with respect to x and y."""
    x, y, *rest = arrays
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    return torch.autograd.grad(value(x, y, *rest), (x, y))


def equal(found, *expected) -> None:
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_torch_func(value) -> None:
    x, y, a = map(torch.asarray, (X, Y, A))
    slopes = [by_backward(value, x[k], y) for k in (0, 1)]
    equal(torch.stack(grad(value, (0, 1))(x[0], y)[:1]), slopes[0][0])
    equal(grad(value, 1)(x[0], y)[None], slopes[0][1])
    equal(jacrev(value)(x[0], y)[None], slopes[0][0])
    over_x = vmap(value, (0, None))
    equal(over_x(x, y), *(value(v, y) for v in x))
    equal(vmap(value, (1, None))(x.movedim(0, 1), y), *(value(v, y) for v in x))
    equal(vmap(grad(value), (0, None))(x, y), *(s[0] for s in slopes))
    equal(vmap(grad(value, 1), (0, None))(x, y), *(s[1] for s in slopes))
    equal(grad(lambda x: over_x(x, y).sum())(x), *(s[0] for s in slopes))
    equal(vmap(vmap(grad(value), (0, None)), (0, None))(x[None], y)[0], *(s[0] for s in slopes))
    of_weights = vmap(value, (None, None, 0))(x[0], y, a)
    equal(of_weights, *(value(x[0], y, w) for w in a))
    equal(
        vmap(grad(value), (None, None, 0))(x[0], y, a),
        *(by_backward(value, x[0], y, w)[0] for w in a),
    )


def test_torch_vmap_of_batches_of_gradients() -> None:
    x, a = (
        torch.asarray(rng.normal(size=(3, 2, 10, 3))),
        torch.asarray(rng.dirichlet(np.ones(10), 3)),
    )
    y = torch.asarray(Y)
    for gradient in (
        partial(ef.sliced_energy_gradient, n_projections=6, rng=0), ef.energy_gradient,
    ):  # fmt: skip
        found = vmap(gradient, (0, None, 0))(x, y, a)
        equal(found, *(gradient(u, y, w) for u, w in zip(x, a, strict=True)))
    sums = partial(ef.kernel_sum_gradient, n_projections=6, rng=0)
    equal(vmap(sums, (0, None))(x[:, 0], y), *(sums(u, y) for u in x[:, 0]))


def test_torch_second_derivatives_are_refused() -> None:
    x, y = torch.asarray(X[0]), torch.asarray(Y)
    for name in ("exact", "sums"):
        value = VALUES[name]
        with pytest.raises(RuntimeError, match="second derivatives are not available"):
            grad(lambda u, f=value: grad(f)(u, y).sum())(x)
        u = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(value(u, y), u, create_graph=True)
        with pytest.raises(RuntimeError, match="second derivatives are not available"):
            first.sum().backward()
    with pytest.raises(RuntimeError, match="second derivatives are not available"):
        grad(lambda u: ef.energy_gradient(u, y).sum())(x)


def test_torch_mapped_directions_are_refused() -> None:
    x, y, t = map(torch.asarray, (X[0], Y, np.stack([T, T])))
    for function in (ef.sliced_energy_distance, ef.sliced_energy_gradient, ef.kernel_sum):
        with pytest.raises(TypeError, match="projections must be the same for all"):
            vmap(lambda t, f=function: f(x, y, projections=t))(t)
    with pytest.raises(TypeError, match="one set each"):
        vmap(lambda u: ef.conditional_wasserstein_distance(u, None, y, None, beta=0))(x[None, :8])


def test_torch_compile() -> None:
    x, y = torch.asarray(X[0]), torch.asarray(Y)

    def loss(x, y):
        return sum(VALUES[name](torch.sin(x), y) for name in ("sliced", "sums", "mmd", "score"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own
        compiled = torch.compile(loss, backend="aot_eager")
        found = by_backward(compiled, x, y)
        assert compiled(x, y) == loss(x, y)
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported, match="disable"):
            torch.compile(loss, backend="eager", fullgraph=True)(x, y)
    for one, other in zip(found, by_backward(loss, x, y), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["exact", "sums", "waves"])
def test_jax_maps_over_weights(name: str) -> None:
    value = VALUES[name]
    x, y, a = map(jnp.asarray, (X[0], Y, A))
    found = jax.vmap(jax.value_and_grad(value), (None, None, 0))(x, y, a)
    u, v = torch.asarray(X[0]), torch.asarray(Y)
    for k, w in enumerate(torch.asarray(A)):
        np.testing.assert_allclose(found[0][k], value(u, v, w), atol=1e-9)
        np.testing.assert_allclose(found[1][k], by_backward(value, u, v, w)[0], atol=1e-9)


@pytest.mark.parametrize("kernel", [None, "energy", "gauss"])
def test_jax_maps_over_directions(kernel: str | None) -> None:
    def function(x, y, t):
        if kernel is None:
            return ef.sliced_energy_distance(x, y, projections=t)
        return ef.kernel_sum(x, y, kernel=kernel, projections=t)

    both = np.stack([T, -T[::-1]])
    mapped = jax.vmap(lambda t: function(jnp.asarray(X[0]), jnp.asarray(Y), t))
    expected = np.stack([function(X[0], Y, t) for t in both])
    np.testing.assert_allclose(mapped(jnp.asarray(both)), expected, atol=1e-9)


@pytest.mark.parametrize("slicing", ["iid", "hadamard"])
def test_jax_maps_over_keys(slicing: str) -> None:
    def drawn(key):
        x, y = jnp.asarray(X[0]), jnp.asarray(Y)
        return ef.sliced_energy_distance(x, y, n_projections=6, slicing=slicing, rng=key)

    keys = jax.random.split(jax.random.key(0), 2)
    found = jax.vmap(drawn)(keys)
    np.testing.assert_allclose(found, [drawn(key) for key in keys], rtol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "slicing"),
    [
        (None, "auto"), (None, "hadamard"),
        ("energy", "auto"), ("energy", "hadamard"), ("gauss", "orthogonal"),
    ],
)  # fmt: skip
def test_jax_gradients_of_jitted_functions_of_keys(kernel: str | None, slicing: str) -> None:
    """Rules of gradients are traced when the key of the function is gone."""

    def function(x, y, key):
        how = {"n_projections": 9, "slicing": slicing, "rng": key}
        if kernel is None:
            return ef.sliced_energy_distance(x, y, **how)
        return ef.kernel_sum(x, y, kernel=kernel, **how).sum()

    x, y, key = jnp.asarray(X[0]), jnp.asarray(Y), jax.random.key(0)
    expected = jax.grad(function, (0, 1))(x, y, key)
    jitted = jax.jit(function)
    for transformed in (jax.grad(jitted, (0, 1)), jax.jit(jax.grad(jitted, (0, 1)))):
        for found, slope in zip(transformed(x, y, key), expected, strict=True):
            np.testing.assert_allclose(found, slope, atol=1e-9)


def test_jax_gradients_of_jitted_functions_of_directions() -> None:
    x, y, t = map(jnp.asarray, (X[0], Y, T))
    found = jax.grad(jax.jit(lambda x, y, t: ef.sliced_energy_distance(x, y, projections=t)))(
        x, y, t
    )
    np.testing.assert_allclose(found, ef.sliced_energy_gradient(X[0], Y, projections=T), atol=1e-9)


def test_jax_traced_keys_for_directions_of_the_host_are_refused() -> None:
    x, y = jnp.asarray(X[0]), jnp.asarray(Y)
    drawn = jax.jit(lambda key: ef.sliced_energy_distance(x, y, slicing="sobol", rng=key))
    with pytest.raises(ValueError, match=r"rng must be a key whose value is known .* 'orthogonal'"):
        drawn(jax.random.key(0))


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_jax_weights_and_directions_are_not_differentiated(transform) -> None:
    x, y, a, t = map(jnp.asarray, (X[0], Y, A[0], T))
    for function, argument in (
        (lambda a: ef.energy_distance(x, y, a), a),
        (lambda a: ef.kernel_sum(y, x, a, rng=0).sum(), a),
        (lambda t: ef.sliced_energy_distance(x, y, projections=t), t),
        (lambda t: ef.kernel_sum(x, y, projections=t).sum(), t),
    ):
        with pytest.raises(TypeError, match="weights and projections must not be differentiated"):
            transform(jax.grad(function))(argument)
