"""Sums over all pairs and losses of small batches: a pass over tiles beside matrices of distances.

CPU milliseconds of one thread, the least of many calls that take turns, as others use the machine.
`torch.cdist` stands for the three means of distances that make an energy distance, with autograd;
SciPy's for their values, and, where it is installed (pykeops, with a C++ compiler), KeOps's sums
over pairs that are never stored. Values and gradients are compared before anything is timed. A
first call runs in a process of its own whose cache of compiled functions is empty; imports are not
counted.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

import energyflow as ef

from ..memory import MIB, alone, peak_memory
from ..runner import Line, Run, Topic
from ..timing import cpu_seconds

TOPIC = Topic("pairs", "All pairs and small batches", __doc__, threads=1)
Points = np.ndarray
KERNELS = {"energy": ef.kernels.Energy(), "Gauss": ef.kernels.Gauss(2.0)}


@TOPIC("all pairs, 32 x 2", n=32, d=2)
@TOPIC("all pairs, 64 x 2", n=64, d=2)
@TOPIC("all pairs, 256 x 64", n=256, d=64)
@TOPIC("all pairs, 1000 x 2", n=1000, d=2)
@TOPIC("all pairs, 2000 x 10", n=2000, d=10)
@TOPIC("all pairs, 2000 x 100", n=2000, d=100)
@TOPIC("all pairs, 2000 x 784", n=2000, d=784)
def all_pairs(run: Run, *, n: int, d: int) -> Iterator[Line]:
    """The exact energy distance: with backward by torch, and its value by NumPy."""
    from scipy.spatial.distance import cdist

    x, y = _points(run, n, d)
    wide = x.astype(np.float64), y.astype(np.float64)

    def scipy() -> float:
        means = (cdist(a, b).mean() for a, b in ((x, y), (x, x), (y, y)))
        return float(2 * next(means) - next(means) - next(means))

    calls = {
        "torch.cdist, forward and backward": lambda: _torch_cdist(x, y),
        "energyflow, forward and backward": lambda: _backward(ef.energy_distance, x, y),
        "SciPy cdist, value": scipy,
        "energyflow, value": lambda: float(ef.energy_distance(x, y)),
    }
    with_backward = {"energyflow, forward and backward": 1e-5}
    if find_spec("pykeops"):
        calls["KeOps, forward and backward"] = lambda: _keops(x, y)
        with_backward["KeOps, forward and backward"] = 1e-3
    name = f"all pairs, {n} x {d}"
    expected = float(ef.energy_distance(*wide))
    gradient = ef.energy_gradient(*wide)
    for method, tolerance in with_backward.items():
        found, slopes = calls[method]()
        off = np.max(np.abs(slopes - gradient)) / np.max(abs(gradient))
        if not (off <= tolerance and abs(found - expected) <= tolerance):
            run.failures.append(f"{name}, {method}")
    if not abs(calls["energyflow, value"]() - expected) <= 1e-5:
        run.failures.append(name)
    yield from _in_turns(run, name, calls, "torch.cdist, forward and backward")


@TOPIC("small batches, 64 x 2, 50 slices", n=64, d=2, n_slices=50)
@TOPIC("small batches, 128 x 10, 50 slices", n=128, d=10, n_slices=50)
@TOPIC("small batches, 256 x 64, 128 slices", n=256, d=64, n_slices=128)
def small_batches(run: Run, *, n: int, d: int, n_slices: int) -> Iterator[Line]:
    """Losses of a minibatch, with backward, drawing directions included; a gradient by NumPy."""
    x, y = _points(run, n, d)
    how: dict[str, Any] = {"n_projections": n_slices, "rng": run.seed}
    calls = {
        "torch.cdist, forward and backward": lambda: _torch_cdist(x, y),
        "torch, sorted slices, forward and backward": lambda: _torch_sorted(x, y, n_slices),
        "energyflow, exact, forward and backward": lambda: _backward(ef.energy_distance, x, y),
        "energyflow, sliced, forward and backward": lambda: _backward(
            ef.sliced_energy_distance, x, y, **how
        ),
        "energyflow, sliced, value and gradient under jax.jit": _jitted(x, y, **how),
        "energyflow, sliced gradient, NumPy": lambda: ef.sliced_energy_gradient(x, y, **how),
    }
    name = f"small batches, {n} x {d}, {n_slices} slices"
    sliced = calls["energyflow, sliced, forward and backward"]()[1]
    if not np.allclose(sliced, ef.sliced_energy_gradient(x, y, **how), rtol=1e-5, atol=1e-7):
        run.failures.append(name)
    yield from _in_turns(run, name, calls, "torch.cdist, forward and backward")


@TOPIC("functions, 1000 x 10", n=1000, d=10)
def functions(run: Run, *, n: int, d: int) -> Iterator[Line]:
    """What sums over all pairs, by tiles (numba) and by SciPy's distances (numpy)."""
    x, y = _points(run, n, d)
    truths = y[:20]

    def flow(kernel: Any) -> Points:
        result = ef.MMDFlow(y, kernel, step_size=0.1).run(x, 5, progress=False)
        return np.asarray(result.particles)

    works: dict[str, Callable[[], Any]] = {
        "energy_score of 20 truths": lambda: ef.energy_score(x, truths),
        "energy_test, exact, 99 relabellings": lambda: (
            ef.energy_test(x, y, n_resamples=99, method="exact", rng=0).statistic
        ),
        "kale": lambda: ef.kale(x[:300], y[:300], kernel=KERNELS["Gauss"], regularization=0.1),
    }
    for kind, kernel in KERNELS.items():
        works |= {
            f"mmd_squared, {kind}": lambda kernel=kernel: ef.mmd_squared(x, y, kernel=kernel),
            f"witness_gradient, {kind}": lambda kernel=kernel: ef.witness_gradient(
                x, x, y, kernel=kernel
            ),
            f"MMDFlow, {kind}, 5 steps": lambda kernel=kernel: flow(kernel),
        }
    for name, work in works.items():
        calls = {backend: _by(backend, work) for backend in ("numpy", "numba")}
        found, expected = (np.asarray(call()) for call in calls.values())
        if not np.allclose(found, expected, rtol=1e-4, atol=1e-5 * np.max(np.abs(expected))):
            run.failures.append(name)
        for line in _in_turns(run, "functions, 1000 x 10", calls, "numpy"):
            yield Line(line.experiment, f"{name}, {line.method}", line.numbers)


@TOPIC("exact or sliced, d = 2", d=2)
@TOPIC("exact or sliced, d = 10", d=10)
@TOPIC("exact or sliced, d = 100", d=100)
def exact_or_sliced(run: Run, *, d: int) -> Iterator[Line]:
    """Time of a value and its gradient, and the error of slicing over ten seeds."""
    for n in (100, 300) if run.quick else (100, 300, 1000, 3000):
        x, y = _points(run, n, d)
        exact = float(ef.energy_distance(x, y))
        calls: dict[str, Callable[[], Any]] = {
            f"N = {n}, exact": lambda x=x, y=y: ef.energy_gradient(x, y)
        }
        errors = {f"N = {n}, exact": 0.0}
        for p in (32, 128, 512):
            method = f"N = {n}, {p} slices"
            calls[method] = lambda x=x, y=y, p=p: ef.sliced_energy_value_and_gradient(
                x, y, n_projections=p, rng=run.seed
            )
            found = [
                float(ef.sliced_energy_distance(x, y, n_projections=p, rng=k)) for k in range(10)
            ]
            errors[method] = float(np.sqrt(np.mean((np.array(found) / exact - 1) ** 2)))
        for line in _in_turns(run, f"exact or sliced, d = {d}", calls, f"N = {n}, exact"):
            numbers = {**line.numbers, "relative error": errors[line.method]}
            yield Line(line.experiment, line.method, numbers)


@TOPIC("memory, 50000 x 2", n=50000, d=2)
def memory(run: Run, *, n: int, d: int) -> Iterator[Line]:
    """Peak extra memory of an exact value and gradient, beside inputs and output."""
    n = 5000 if run.quick else n
    peak = alone(_peak, run.seed, n, d)
    yield Line("memory, 50000 x 2", "energy_gradient", {"MiB": peak / MIB, "points": n})


@TOPIC("first call")
def first_call(run: Run) -> Iterator[Line]:
    """CPU seconds of calls that follow each other in a process without compiled functions."""
    steps = {
        "sliced_energy_distance, float64": "ef.sliced_energy_distance(x, y, rng=0)",
        "then its gradient, float32": "ef.sliced_energy_gradient(f(x), f(y), rng=0)",
        "then exponent 1.5, float64": "ef.sliced_energy_distance(x, y, rng=0, exponent=1.5)",
        "then energy_distance and gradient, both": (
            "ef.energy_gradient(x, y); ef.energy_gradient(f(x), f(y))"
        ),
        "then kernel_sum, direct, Gauss": "ef.kernel_sum(x, y, kernel='gauss', method='direct')",
    }
    code = [
        "import time, numpy as np, scipy.special, numba, energyflow as ef",
        "x = np.random.default_rng(0).normal(size=(100, 2)); y = x + 1; f = np.float32",
        "@numba.njit\ndef nothing(x): return x.sum()\nnothing(x)",
    ]
    for step in steps.values():
        code += ["begun = time.process_time()", step, "print(time.process_time() - begun)"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(code)],
            env={**os.environ, "NUMBA_CACHE_DIR": folder}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
    for name, seconds in zip(steps, done.stdout.split(), strict=True):
        yield Line("first call", name, {"CPU s": float(seconds)})


def _points(run: Run, n: int, d: int) -> tuple[Points, Points]:
    rng = np.random.default_rng(run.seed)
    x, y = rng.normal(size=(2, n, d)).astype(np.float32)
    return x, y + np.float32(0.5)


def _backward(function: Any, x: Points, y: Points, **how: Any) -> tuple[float, Points]:
    """The value of a function of torch tensors, and its gradient."""
    import torch

    points = torch.from_numpy(x).requires_grad_()
    value = function(points, torch.from_numpy(y), **how)
    value.backward()
    return float(value.detach()), points.grad.numpy()


def _torch_cdist(x: Points, y: Points) -> tuple[float, Points]:
    import torch

    def distance(x: Any, y: Any) -> Any:
        means = (torch.cdist(a, b).mean() for a, b in ((x, y), (x, x), (y, y)))
        return 2 * next(means) - next(means) - next(means)

    return _backward(distance, x, y)


def _keops(x: Points, y: Points) -> tuple[float, Points]:
    from pykeops.torch import LazyTensor

    def distance(x: Any, y: Any) -> Any:
        def mean(a: Any, b: Any) -> Any:
            away = LazyTensor(a[:, None]) - LazyTensor(b[None])
            return (away**2).sum(-1).sqrt().sum(1).sum() / (len(a) * len(b))

        return 2 * mean(x, y) - mean(x, x) - mean(y, y)

    return _backward(distance, x, y)


def _torch_sorted(x: Points, y: Points, n_slices: int) -> tuple[float, Points]:
    """The mean over slices of squared distances of sorted points, for which sorting is enough."""
    import torch

    def distance(x: Any, y: Any) -> Any:
        directions = torch.randn(n_slices, x.shape[1])
        directions = directions / directions.norm(dim=1, keepdim=True)
        rows = [(directions @ v.T).sort(dim=1).values for v in (x, y)]
        return (rows[0] - rows[1]).square().mean()

    return _backward(distance, x, y)


def _jitted(x: Points, y: Points, **how: Any) -> Callable[[], Any]:
    """The sliced energy distance and its gradient in x, compiled beforehand."""
    import jax

    def distance(x: Any, y: Any) -> Any:
        return ef.sliced_energy_distance(x, y, **how)

    compiled, given = jax.jit(jax.value_and_grad(distance)), tuple(map(jax.numpy.asarray, (x, y)))

    def call() -> Any:
        return jax.block_until_ready(compiled(*given))

    call()
    return call


def _by(backend: str, work: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        with ef.use_backend(backend):
            return work()

    return call


def _in_turns(
    run: Run, experiment: str, calls: dict[str, Callable[[], Any]], beside: str
) -> Iterator[Line]:
    """Lines of the least CPU time of each call, in turns of a twentieth of a second."""
    least = dict.fromkeys(calls, np.inf)
    for _ in range(2 if run.quick else 5):
        for name, call in calls.items():
            end = perf_counter() + 0.05
            while True:
                least[name] = min(least[name], cpu_seconds(call)[1])
                if perf_counter() > end:
                    break
    for name, seconds in least.items():
        numbers = {"CPU ms": 1e3 * seconds, f"times {beside}": seconds / least[beside]}
        yield Line(experiment, name, numbers)


def _peak(seed: int, n: int, d: int) -> int:
    x, y = np.random.default_rng(seed).normal(size=(2, n, d)).astype(np.float32)
    ef.energy_gradient(x[:100], y[:100])
    return peak_memory(lambda: ef.energy_gradient(x, y))[1]
