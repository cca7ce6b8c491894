"""Under jax.jit on a CPU, energy distances are those of the kernels that eager calls take."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from energyflow_backends import _registry as registry
from energyflow_backends import describe

import energyflow as ef

pytest.importorskip("numba", reason="numba is not installed")
pytest.importorskip("jax.experimental.buffer_callback", reason="this JAX has no buffer_callback")

CASES: list[tuple[Any, dict[str, Any]]] = [
    (ef.energy_distance, {}),
    (ef.energy_distance, {"exponent": 1.5, "estimator": "U"}),
    (ef.sliced_energy_distance, {"rng": 0}),
    (ef.sliced_energy_distance, {"rng": 0, "exponent": 0.5, "estimator": "U"}),
    (ef.sliced_energy_distance, {"rng": 0, "slicing": "hadamard", "n_projections": 7}),
]


@pytest.fixture
def sets(rng: np.random.Generator) -> tuple[Any, Any]:
    return jnp.asarray(rng.normal(size=(12, 3))), jnp.asarray(rng.normal(size=(9, 3)) + 1)


def both_gradients(distance: Any, **how: Any) -> Any:
    return jax.value_and_grad(partial(distance, **how), argnums=(0, 1))


def called_back(function: Any, *arguments: Any) -> bool:
    return "buffer_callback" in str(jax.make_jaxpr(function)(*arguments))


@pytest.mark.parametrize(("distance", "how"), CASES)
def test_bits_of_eager_calls(sets: tuple, distance: Any, how: dict) -> None:
    function = both_gradients(distance, **how)
    assert called_back(function, *sets)
    found, gradients = jax.jit(function)(*sets)
    expected, closed = function(*sets)
    assert found == expected
    for one, other in zip(gradients, closed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights(sets: tuple, rng: np.random.Generator) -> None:
    a, b = (jnp.asarray(rng.dirichlet(np.ones(len(s)))) for s in sets)
    for distance in (ef.energy_distance, partial(ef.sliced_energy_distance, rng=0)):
        assert jax.jit(distance)(*sets, a, b) == distance(*sets, a, b)


def test_directions_drawn_by_jax(sets: tuple) -> None:
    """A traced key, and directions that are an argument."""

    def of_key(x: Any, y: Any, key: Any) -> Any:
        return ef.sliced_energy_distance(x, y, n_projections=5, rng=key)

    key = jax.random.key(3)
    assert called_back(of_key, *sets, key)
    found, eager = (f(*sets, key) for f in (jax.jit(of_key), of_key))
    np.testing.assert_allclose(found, eager, rtol=1e-12)
    directions = jnp.asarray(ef.sample_projections(6, 3, rng=0))
    given = jax.jit(lambda x, y, t: ef.sliced_energy_distance(x, y, projections=t))
    expected = ef.sliced_energy_distance(*sets, projections=directions)
    assert given(*sets, directions) == expected


def test_mapped_and_batched(sets: tuple) -> None:
    x = jnp.stack([sets[0], 2 * sets[0]])
    distance = partial(ef.sliced_energy_distance, rng=0, n_projections=6)
    alone = [distance(part, sets[1]) for part in x]
    mapped = jax.jit(jax.vmap(distance, in_axes=(0, None)))(x, sets[1])
    np.testing.assert_allclose(mapped, alone, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(distance)(x, sets[1]), alone, rtol=1e-12)
    exact = jax.jit(ef.energy_distance)(x, sets[1])
    np.testing.assert_allclose(exact, ef.energy_distance(x, sets[1]), rtol=1e-12)


@pytest.mark.parametrize("distance", [ef.energy_distance, ef.sliced_energy_distance])
def test_not_a_number_is_no_error(sets: tuple, distance: Any) -> None:
    assert np.isnan(jax.jit(distance)(sets[0].at[3, 1].set(np.nan), sets[1]))


def test_a_choice_by_name_stays_with_xla(sets: tuple) -> None:
    with ef.use_backend("jax"):
        for distance in (ef.energy_distance, ef.sliced_energy_distance):
            assert not called_back(partial(distance), *sets)


def test_projectors_without_structure_stay_with_xla(sets: tuple) -> None:
    class Axes:
        """Both methods may call JAX, which must not be called from a call back."""

        n_projections = 3

        def blocks(self, size: int) -> Any:
            return iter([self])

        def project(self, x: Any) -> Any:
            return jnp.swapaxes(x, -1, -2)

        def project_back(self, g: Any) -> Any:
            return jnp.swapaxes(g, -1, -2)

        def constant(self, exponent: float) -> float:
            return 2.0

    distance = partial(ef.sliced_energy_distance, projections=Axes())
    assert not called_back(distance, *sets)
    expected = ef.sliced_energy_distance(*sets, projections=jnp.eye(3))
    expected *= 2 / ef.slicing_constant(3)
    np.testing.assert_allclose(jax.jit(distance)(*sets), expected, rtol=1e-10)


def test_what_is_refused(sets: tuple) -> None:
    backend = registry.backends()["jax-callback"]
    assert "known" in str(backend.refuses(describe(sets[0])))
    assert "not JAX arrays" in str(backend.refuses(describe(np.ones(3))))
