"""Dask arrays: the numbers of NumPy, lazily, in bounded memory, by any scheduler."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import energyflow as ef

da = pytest.importorskip("dask.array", reason="dask is not installed")

import dask  # noqa: E402
from energyflow_backends._registry import named  # noqa: E402
from energyflow_backends.dask import graph as _dask_graph  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    with dask.config.set(scheduler="synchronous"):
        yield


def sets(rng: np.random.Generator, n: int = 50, m: int = 37, d: int = 3) -> list[np.ndarray]:
    return [rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5]


def chunked(array: np.ndarray, *chunks: Any) -> Any:
    return da.from_array(array, chunks=chunks)


def agree(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    (value, gradient), (true_value, true_gradient) = dask.compute(found)[0], expected
    assert value.dtype == true_value.dtype
    assert gradient.dtype == true_gradient.dtype
    assert value.shape == true_value.shape
    np.testing.assert_allclose(value, true_value, rtol=tolerance, atol=0)
    size = np.linalg.norm(true_gradient)
    assert np.linalg.norm(gradient - true_gradient) <= tolerance * size


CHUNKS = (
    ((50, 3), (37, 3)),
    ((20, 3), (7, 3)),
    (((1, 0, 48, 1), 3), ((0, 37), 3)),
    ((20, 1), (37, 2)),
)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_numbers_are_numpys(chunks, estimator: str, weighted: bool, rng) -> None:
    x, y = sets(rng)
    a, b = (rng.dirichlet(np.ones(len(v))) if weighted else None for v in (x, y))
    how = {"n_projections": 12, "estimator": estimator, "rng": 0}
    expected = ef.sliced_energy_value_and_gradient(x, y, a, b, **how)
    lazy = [chunked(v, *c) for v, c in zip((x, y), chunks, strict=True)]
    weights = [None if w is None else chunked(w, 11) for w in (a, b)]
    for chunk_size in (None, 5):
        value, gradient = ef.sliced_energy_value_and_gradient(
            *lazy, *weights, chunk_size=chunk_size, **how
        )
        assert value.shape == ()
        assert gradient.chunks == lazy[0].chunks
        agree((value, gradient), expected)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_exponents_and_dtypes(exponent: float, dtype: str, rng) -> None:
    x, y = (v.astype(dtype) for v in sets(rng))
    how = {"exponent": exponent, "n_projections": 20, "rng": 0}
    expected = ef.sliced_energy_value_and_gradient(x, y, **how)
    found = ef.sliced_energy_value_and_gradient(
        chunked(x, 20, 3), chunked(y, 7, 3), chunk_size=6, **how
    )
    agree(found, expected, {"float16": 2e-3, "float32": 2e-6, "float64": 1e-12}[dtype])


@pytest.fixture(params=["numpy", "numba"])
def host(request, monkeypatch) -> str:
    """What computes rows: the automatic choice depends on what is installed."""
    if request.param == "numba":
        pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(_dask_graph, "select_on_host", lambda: named(request.param))
    return request.param


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_every_backend_of_the_host(host: str, exponent: float, rng) -> None:
    x, y = sets(rng)
    how = {"exponent": exponent, "n_projections": 12, "rng": 0}
    with ef.use_backend(host):
        expected = ef.sliced_energy_value_and_gradient(x, y, **how)
    lazy = chunked(x, 20, 3), chunked(y, 7, 3)
    agree(ef.sliced_energy_value_and_gradient(*lazy, **how), expected)
    with ef.use_backend("dask"):
        agree(ef.sliced_energy_value_and_gradient(*lazy, **how), expected)


@pytest.mark.parametrize(
    "slicing", ["hadamard", "orthogonal", ef.PatchSlicing((1, 4, 4), 2, (0, 1))]
)
def test_every_way_of_slicing(slicing, rng) -> None:
    x, y = sets(rng, d=16)
    how = {"n_projections": 40, "slicing": slicing, "rng": 0}
    expected = ef.sliced_energy_value_and_gradient(x, y, **how)
    found = ef.sliced_energy_value_and_gradient(
        chunked(x, 20, 16), chunked(y, 7, 16), chunk_size=9, **how
    )
    agree(found, expected)


def test_given_directions_are_lazy_too(rng) -> None:
    x, y = sets(rng)
    directions = ef.sample_projections(20, 3, rng=0)
    expected = ef.sliced_energy_value_and_gradient(x, y, projections=directions)
    lazy = chunked(directions, 7, 2)
    found = ef.sliced_energy_value_and_gradient(
        chunked(x, 20, 3), chunked(y, 7, 3), projections=lazy, chunk_size=6
    )
    agree(found, expected)


def test_batches(rng) -> None:
    x, y = rng.normal(size=(2, 3, 20, 4)), rng.normal(size=(3, 15, 4))
    expected = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    lazy = chunked(x, 1, 2, 7, 4)
    value, gradient = ef.sliced_energy_value_and_gradient(lazy, chunked(y, 3, 4, 2), rng=0)
    assert gradient.chunks[2:] == lazy.chunks[2:]
    agree((value, gradient), expected)


def test_one_dimension_is_exact(rng) -> None:
    x, y = sets(rng, d=1)
    found = ef.energy_distance(chunked(x, 20, 1), chunked(y, 7, 1))
    assert float(found) == pytest.approx(float(ef.reference.energy_distance(x, y)), rel=1e-12)


def test_chunks_change_no_bit(rng) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    x, y = sets(rng, 400, 300, d=10)
    found = [
        dask.compute(*ef.sliced_energy_value_and_gradient(*pair, n_projections=30, rng=0))
        for pair in (
            (chunked(x, 400, 10), chunked(y, 300, 10)),
            (chunked(x, 29, 10), chunked(y, 17, 10)),
            (chunked(x, 97, 10), chunked(y, 300, 10)),
        )
    ]
    for value, gradient in found[1:]:
        assert value.tobytes() == found[0][0].tobytes()
        assert gradient.tobytes() == found[0][1].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_from_the_origin(dtype: str, rng) -> None:
    x, y = (np.round(v * 64) / 64 for v in sets(rng))
    near = ef.sliced_energy_value_and_gradient(x, y, rng=0)
    offset = 2.0**16 if dtype == "float32" else 2.0**40
    far = [chunked((v + offset).astype(dtype), 9, 3) for v in (x, y)]
    value, gradient = dask.compute(*ef.sliced_energy_value_and_gradient(*far, rng=0))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert float(value) == pytest.approx(float(near[0]), rel=tolerance)
    np.testing.assert_allclose(gradient, near[1], atol=1e-2 if dtype == "float32" else 1e-12)


# -- lazily --------------------------------------------------------------------------------------


class Source:
    """Points (n, 3) that are made chunk by chunk; it counts chunks made, and those in memory."""

    def __init__(self, n: int, size: int, seed: int) -> None:
        self.made = self.alive = self.most = 0
        self._seed, self._lock = seed, threading.Lock()
        chunks = ((size,) * (n // size), (3,))
        self.array = da.map_blocks(
            self._make, chunks=chunks, dtype=np.float64, meta=np.empty((0, 0)), size=size
        )

    def _make(self, block_id: tuple[int, int], size: int) -> np.ndarray:
        block = np.random.default_rng([self._seed, block_id[0]]).normal(size=(size, 3))
        with self._lock:
            self.made += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(block, self._drop)
        return block

    def _drop(self) -> None:
        with self._lock:
            self.alive -= 1


@pytest.mark.parametrize("gradient", [False, True])
def test_nothing_is_computed_before_it_is_asked_for(gradient: bool) -> None:
    x, y = Source(60, 20, 0), Source(60, 30, 1)
    call = ef.sliced_energy_gradient if gradient else ef.sliced_energy_distance
    found = call(x.array, y.array, n_projections=10, rng=0)
    assert isinstance(found, da.Array)
    assert (x.made, y.made) == (0, 0)
    found.compute()
    assert x.made >= 3
    assert y.made >= 2


@pytest.mark.parametrize("wrapped", [False, True])
def test_few_chunks_are_in_memory_at_once(wrapped: bool) -> None:
    """Each group of slices reads the points anew, through whatever was done to them."""
    most = []
    for _ in range(3):  # a thread that waits for the processor keeps its chunks a little longer
        x, y = Source(1000, 50, 0), Source(1000, 50, 1)
        arrays = [v.array for v in (x, y)]
        if wrapped:
            arrays = [(v + 1)[::-1].reshape((50, 20, 3)).reshape((1000, 3)) for v in arrays]
        how = {"n_projections": 8, "chunk_size": 2, "rng": 0}
        graph = ef.sliced_energy_value_and_gradient(*arrays, **how)
        gc.collect()
        with dask.config.set(scheduler="threads", num_workers=2):
            dask.compute(*graph)
        for source in (x, y):
            assert source.made in (4 * 20, 4 * 20 + 1)  # the first tells where the points lie
        most.append(max(x.most, y.most))
        if most[-1] <= 6:
            break
    assert min(most) <= 6


def test_arrays_that_are_kept_are_not_made_anew() -> None:
    x, y = Source(60, 20, 0), Source(60, 30, 1)
    kept = dask.persist(x.array, y.array)
    assert (x.made, y.made) == (3, 2)
    found = ef.sliced_energy_value_and_gradient(*kept, n_projections=10, chunk_size=3, rng=0)
    plain = [v.compute() for v in kept]
    agree(found, ef.sliced_energy_value_and_gradient(*plain, n_projections=10, rng=0))
    assert (x.made, y.made) == (3, 2)


# -- schedulers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler(scheduler: str, rng) -> None:
    x, y = sets(rng, 2000, 1500)
    how = {"n_projections": 16, "rng": 0}
    expected = ef.sliced_energy_value_and_gradient(x, y, **how)
    found = ef.sliced_energy_value_and_gradient(
        chunked(x, 300, 3), chunked(y, 700, 3), chunk_size=8, **how
    )
    workers = {} if scheduler == "synchronous" else {"num_workers": 2}
    with dask.config.set(scheduler=scheduler, **workers):
        agree(found, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_cluster_of_two_processes(rng) -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    x, y = sets(rng, 20_000, 15_000)
    how = {"n_projections": 16, "rng": 0}
    expected = ef.sliced_energy_value_and_gradient(x, y, **how)
    with (
        dask.config.set(scheduler=None),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            memory_limit="1GiB",
        ) as cluster,
        distributed.Client(cluster),
    ):  # fmt: skip
        lazy = chunked(x, 3000, 3), chunked(y, 7000, 3)
        agree(ef.sliced_energy_value_and_gradient(*lazy, chunk_size=4, **how), expected)
        kept = dask.persist(*lazy)
        distributed.wait(kept)
        agree(ef.sliced_energy_value_and_gradient(*kept, chunk_size=4, **how), expected)


# -- what is refused, and what is not seen -------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("first", [False, True])
def test_what_is_not_finite_shows_in_the_result(host, bad: float, first: bool, rng) -> None:
    x, y = sets(rng)
    if first:
        x[:2, 1] = bad, -bad
    else:
        y[20, 1] = bad
    value, gradient = dask.compute(
        *ef.sliced_energy_value_and_gradient(chunked(x, 20, 3), chunked(y, 7, 3), rng=0)
    )
    assert not np.isfinite(value)
    assert np.isnan(gradient).all()


@pytest.mark.parametrize("factor", [-1, 2])
def test_bad_weights_show_in_the_result(host, factor: float, rng) -> None:
    x, y = sets(rng)
    a = np.full(len(x), factor / len(x))
    a[0] += 1 - factor if factor < 0 else 0
    value, gradient = dask.compute(
        *ef.sliced_energy_value_and_gradient(
            chunked(x, 20, 3), chunked(y, 7, 3), da.from_array(a, chunks=20), rng=0
        )
    )
    assert np.isnan(value)
    assert np.isnan(gradient).all()


def test_bytes_of_either_order(rng) -> None:
    swapped = [v.astype(v.dtype.newbyteorder()) for v in sets(rng)]
    lazy = [chunked(v, 20, 3) for v in swapped]
    expected = ef.sliced_energy_value_and_gradient(*swapped, rng=0)
    agree(ef.sliced_energy_value_and_gradient(*lazy, rng=0), expected)


def test_chunks_that_are_no_plain_arrays_are_refused(rng) -> None:
    x, y = (chunked(v, 7, 3) for v in sets(rng))
    masked = da.ma.masked_greater(x, 1)
    with pytest.raises(TypeError, match="x must have chunks that are plain NumPy arrays"):
        ef.sliced_energy_distance(masked, y)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="y must have chunks that are plain NumPy arrays"):
        ef.sliced_energy_distance(x, y.map_blocks(torch.asarray, meta=torch.zeros(0, 0)))


def test_unknown_chunks_are_named(rng) -> None:
    x, y = (chunked(v, 7, 3) for v in sets(rng))
    some = x[x[:, 0] > 0]
    with pytest.raises(ValueError, match=r"x must have chunks of known sizes.*\(nan, 3\)"):
        ef.sliced_energy_distance(some, y)
    with pytest.raises(ValueError, match="a must have chunks of known sizes"):
        ef.sliced_energy_distance(x, y, some[:, 0])
    with pytest.raises(ValueError, match="projections must have chunks of known sizes"):
        ef.sliced_energy_distance(x, y, projections=some)
    ef.sliced_energy_distance(some.compute_chunk_sizes(), y)


def test_libraries_are_not_mixed(rng) -> None:
    x, y = sets(rng)
    for pair in ((chunked(x, 7, 3), y), (x, chunked(y, 7, 3))):
        with pytest.raises(TypeError, match="one array library, got"):
            ef.sliced_energy_distance(*pair)


def test_other_sums_are_refused_by_name(rng) -> None:
    x, y = (chunked(v, 7, 3) for v in sets(rng))
    calls = (
        lambda: ef.energy_distance(x, y),
        lambda: ef.energy_gradient(x, y),
        lambda: ef.kernel_sum(x, y),
        lambda: ef.witness(x, x, y),
        lambda: ef.mmd_squared(x, y),
        lambda: ef.energy_score(x, y[0]),
    )
    for call in calls:
        with pytest.raises(ef.BackendUnavailable, match=r"sliced energy distances only; compute\("):
            call()
    for call in (lambda: ef.ParticleFlow(x), lambda: ef.MMDFlow(x)):
        with pytest.raises(TypeError, match="target must lie in memory or in a mapped file"):
            call()
    with pytest.raises(TypeError, match="must have values"):
        ef.energy_test(x, y)
    with ef.use_backend("numpy"), pytest.raises(ef.BackendUnavailable, match="can: dask"):
        ef.sliced_energy_distance(x, y)
    with ef.use_backend("dask"), pytest.raises(ef.BackendUnavailable, match="not Dask arrays"):
        ef.sliced_energy_distance(x.compute(), y.compute())
