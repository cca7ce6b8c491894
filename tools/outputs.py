"""Record the outputs of the public functions, and compare them with an earlier recording.

    python -m tools.outputs record FILE.npz     writes what the code gives now
    python -m tools.outputs compare FILE.npz    lists what differs by a bit, and exits with 1

`--only TEXT` takes the sections whose names contain it. Only public names are used, on one thread,
so that the same script records an older checkout: run it by path, with that checkout in PYTHONPATH.
An output is named by the call that made it; a call that raises is recorded by the error's type.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _library in ("OMP", "OPENBLAS", "MKL", "ENERGYFLOW"):
        os.environ[f"{_library}_NUM_THREADS"] = "1"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import argparse
import contextlib
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

import energyflow as ef

FAILURES = (
    ef.EnergyflowError, ArithmeticError, AttributeError, ImportError, LookupError,
    NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
SIZES = ((1, 1, 2), (2, 3, 1), (63, 64, 3), (130, 257, 10))  # N, M, d
BACKENDS = {  # each with a library whose arrays it takes
    "auto numpy": "numpy", "numba": "numpy", "numpy": "numpy", "auto torch": "torch",
    "torch": "torch", "array-api": "strict", "dask": "dask", "auto jax": "jax", "jax": "jax",
}  # fmt: skip
KERNELS = {
    "energy": ef.kernels.Energy(), "riesz": ef.kernels.Riesz(0.5), "gauss": ef.kernels.Gauss(0.8),
    "laplace": ef.kernels.Laplace(0.7), "matern": ef.kernels.Matern(2.5, 1.5),
    "linear": ef.kernels.Linear(),
}  # fmt: skip


class Recording:
    """Arrays by the name of the call that made them."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def call(self, name: str, function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call, keep what comes, and give it back: None where the call raises."""
        try:
            result = function(*args, **how)
        except FAILURES as error:
            self.keep(f"{name} raises", type(error).__name__)
            return None
        self.keep(name, result)
        return result

    def keep(self, name: str, value: Any) -> None:
        """Keep an array, or the arrays in a tuple, a mapping or a dataclass, by position."""
        if value is None or callable(value):
            return
        if isinstance(value, dict):
            for key, part in value.items():
                self.keep(f"{name}[{key}]", part)
        elif is_dataclass(value) and not isinstance(value, type):
            public = [f.name for f in fields(value) if not f.name.startswith("_")]
            parts = [getattr(value, field) for field in public if "seconds" not in field]
            self.keep(name, tuple(p for p in parts if not isinstance(p, (str, dict))))
        elif isinstance(value, (tuple, list)) and not _numbers(value):
            for place, part in enumerate(value):
                self.keep(f"{name}[{place}]", part)
        else:
            if name in self.arrays:
                raise ValueError(f"two outputs are named {name!r}")
            array = host(value)
            if array.dtype == object:
                raise TypeError(f"{name}: no array but {type(value).__name__}")
            self.arrays[name] = array


def _numbers(values: Any) -> bool:
    return all(isinstance(v, (int, float)) for v in values)


def host(value: Any) -> np.ndarray:
    """The array as NumPy has it, whatever its library."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value.compute() if hasattr(value, "compute") else value)


def converter(library: str) -> Callable[[Any], Any]:
    """What makes arrays of a library from NumPy arrays; None stays None."""
    if library == "torch":
        from torch import asarray
    elif library == "jax":
        from jax.numpy import asarray
    elif library == "strict":
        from array_api_strict import asarray
    elif library == "dask":
        from dask.array import from_array

        def asarray(v: Any) -> Any:
            return from_array(v, chunks=(50, *v.shape[1:]))

    else:
        asarray = np.asarray
    return lambda v: None if v is None else asarray(v)


def points(n: int, m: int, d: int, dtype: str = "float64") -> tuple[np.ndarray, ...]:
    """Points (n, d) and (m, d), and weights of both, with some ties."""
    rng = np.random.default_rng([n, m, d])
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5
    y[: min(n, m) // 4] = x[: min(n, m) // 4]
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return tuple(v.astype(dtype) for v in (x, y, a, b))


@contextlib.contextmanager
def implementation(name: str) -> Iterator[None]:
    """The backend, or the one that is picked."""
    with contextlib.nullcontext() if name.startswith("auto") else ef.use_backend(name):
        yield


# -- sections: each records some outputs ---------------------------------------------------------


def distances(r: Recording) -> None:
    """Distances and gradients: backends, sizes, dtypes, weights, exponents, estimators."""
    exact = (ef.energy_distance, ef.energy_gradient)
    sliced = (ef.sliced_energy_distance, ef.sliced_energy_value_and_gradient)
    for backend, library in BACKENDS.items():
        to = converter(library)
        compiled = library == "jax"  # it compiles anew for each shape
        for n, m, d in SIZES[2:3] if compiled or library == "dask" else SIZES:
            theta = to(ef.sample_projections(9, d, method="iid", rng=1))
            for dtype in ("float32", "float64"):
                x, y, a, b = map(to, points(n, m, d, dtype))
                for exponent in (1.0, 0.5, 1.5)[: 2 if compiled else 3]:
                    for w in ((), (a, b)):
                        for estimator in ("V", "U") if n > 1 else "V":
                            how = {"exponent": exponent, "estimator": estimator}
                            what = f"{n}x{m}x{d} {dtype} {len(w)} weights {exponent} {estimator}"
                            with implementation(backend):
                                for f in sliced:
                                    r.call(f"{backend} {f.__name__} {what}", f, x, y, *w,
                                           projections=theta, **how)  # fmt: skip
                                if library != "dask":
                                    for f in exact:
                                        name = f"{backend} {f.__name__} {what}"
                                        r.call(name, f, x, y, *w, **how)


def forms(r: Recording) -> None:
    """What is given in other forms: batches, lists, half precision, chunks, empty gradients."""
    x, y, a, b = points(63, 64, 3)
    both = ef.sliced_energy_value_and_gradient
    r.call("sliced gradient", ef.sliced_energy_gradient, x, y, rng=0)
    r.call("half precision", both, *(v.astype(np.float16) for v in (x, y)), rng=0)
    for chunk in (1, 7, 1000):
        for exponent in (1.0, 1.5):
            name = f"chunks of {chunk} {exponent}"
            r.call(f"{name} sliced", both, x, y, a, b, 50, chunk_size=chunk, exponent=exponent,
                   rng=0)  # fmt: skip
            r.call(f"{name} exact", ef.energy_gradient, x, y, a, b, chunk_size=chunk,
                   exponent=exponent)  # fmt: skip
    batch, target = points(80, 240, 2)[:2]
    for library in ("numpy", "torch", "jax"):
        pair = converter(library)(batch.reshape(4, 20, 2)), converter(library)(target[:40])
        r.call(f"batch {library} sliced", both, *pair, rng=3)
        r.call(f"batch {library} exact", ef.energy_distance, *pair)
    for scale in (1e-150, 1e-30, 1e30, 1e150):
        for exponent in (1.0, 0.5):
            args = x * scale, y * scale
            r.call(f"scale {scale} {exponent} sliced", both, *args, rng=0, exponent=exponent)
            r.call(f"scale {scale} {exponent}", ef.energy_gradient, *args, exponent=exponent)
    r.call("far away", both, x + 1e9, y + 1e9, rng=0)
    r.call("large", both, *points(5000, 4000, 4, "float32"), 40, rng=0)
    r.call("large float64", both, *points(4000, 5000, 4), 40, rng=0)
    for n, m in ((1023, 1), (1000, 1048), (70_000, 60_000), (600_000, 100)):
        for dtype in ("float32", "float64"):
            x_long, y_long, a_long, b_long = points(n, m, 2, dtype)
            for weights in ((), (a_long, b_long)):
                name = f"rows of {n} and {m} {dtype} {len(weights)} weights"
                r.call(name, both, x_long, y_long, *weights, n_projections=2, rng=0)
    r.call("large plain", both, *points(5000, 4000, 4, "float32")[:2], rng=0)
    r.call("NaN", both, np.where(x > 2, np.nan, x), y, rng=0)


def slicings(r: Recording) -> None:
    """Directions of each family, and sums along them."""
    for d in (2, 3, 8, 30):
        r.keep(f"slicing_constant {d}", [ef.slicing_constant(d, e) for e in (0.5, 1.0, 1.9)])
        for n in (5, 64):
            for method in ("auto", "iid", "orthogonal", "sobol", "equispaced", "distance"):
                if (method == "equispaced" and d > 2) or (n, d, method) == (64, 30, "distance"):
                    continue  # they are for the plane, or optimised when first needed
                for rng in (0, np.random.default_rng(5)):
                    what = f"directions {method} {n}x{d} {type(rng).__name__}"
                    r.call(what, ef.sample_projections, n, d, method=method, rng=rng)
    import jax
    import torch

    for library, rng in (
        ("torch", torch.Generator().manual_seed(1)), ("jax", jax.random.key(1)), ("jax", 1),
    ):  # fmt: skip
        like = converter(library)(np.zeros(3, np.float32))
        for method in ("iid", "orthogonal"):
            name = f"directions {library} {method} {type(rng).__name__}"
            r.call(name, ef.sample_projections, 9, 4, method=method, rng=rng, like=like)
    for n, m, d in ((63, 64, 48), (700, 600, 48)):
        for dtype in ("float32", "float64"):
            for backend in ("auto numpy", "numpy", "torch"):
                x, y, a, b = map(converter(BACKENDS[backend]), points(n, m, d, dtype))
                for name, slicing in (
                    ("auto", "auto"), ("hadamard", "hadamard"), ("orthogonal", "orthogonal"),
                    ("rounds", ef.HadamardSlicing(2)),
                    ("patches", ef.PatchSlicing((3, 4, 4), 2, (0, 1))),
                ):  # fmt: skip
                    for exponent in (1.0, 1.5)[: 1 if n > 100 else 2]:
                        what = f"{backend} {n} {dtype} along {name} {exponent}"
                        with implementation(backend):
                            r.call(what, ef.sliced_energy_value_and_gradient, x, y, a, b, 20,
                                   slicing=slicing, exponent=exponent, rng=2)  # fmt: skip


def derivatives(r: Recording) -> None:
    """Gradients by torch and JAX, plain and compiled."""
    import jax
    import torch

    for exponent in (1.0, 0.5):
        for name, function in (
            ("exact", ef.energy_distance),
            ("sliced", lambda *v, **how: ef.sliced_energy_distance(*v, rng=0, **how)),
        ):
            what = f"{name} {exponent}"
            x, y, a, b = (torch.asarray(v) for v in points(63, 64, 3))
            x.requires_grad_()
            y.requires_grad_()
            value = function(x, y, a, b, exponent=exponent)
            r.call(f"torch {what}", torch.autograd.grad, value, (x, y))
            host_arrays = [jax.numpy.asarray(v) for v in points(63, 64, 3)]

            def of(x: Any, y: Any, function: Any = function, e: float = exponent) -> Any:
                return function(x, y, exponent=e)

            both = jax.jit(jax.value_and_grad(of, (0, 1)))
            r.call(f"jax {what}", both, *host_arrays[:2])


def kernel_sums(r: Recording) -> None:
    """Sums of kernels, MMD, witnesses, KALE and scores."""
    for library in ("numpy", "torch"):
        for dtype in ("float32", "float64"):
            x, y, a, b = map(converter(library), points(63, 64, 3, dtype))
            for name, kernel in KERNELS.items():
                what = f"{library} {dtype} {name}"
                s = abs(x[:, 0])
                if name not in ("linear",):
                    r.call(f"{what} value", kernel.value, s)
                    r.call(f"{what} slope", kernel.slope, s)
                for estimator in ("V", "U"):
                    r.call(f"mmd_squared {what} {estimator}", ef.mmd_squared, x, y, a, b,
                           kernel=kernel, estimator=estimator)  # fmt: skip
                for method in ("direct", "sliced"):
                    how = {"kernel": kernel, "method": method, "rng": 0, "n_projections": 40}
                    for f in (ef.kernel_sum, ef.kernel_sum_gradient):
                        r.call(f"{f.__name__} {what} {method}", f, x, y, b, **how)
                    for f in (ef.witness, ef.witness_gradient):
                        r.call(f"{f.__name__} {what} {method}", f, y[:9], x, y, a, b, **how)
                if name in ("gauss", "laplace", "matern", "linear"):
                    r.call(f"kale {what}", ef.kale, x, y, a, b, kernel=kernel, regularization=0.1)
    for library in ("numpy", "torch", "jax"):
        samples, truth = map(converter(library), points(40, 10, 4)[:2])
        samples = samples.reshape(10, 4, 4)
        for estimator in ("V", "U"):
            how = {"estimator": estimator}
            r.call(f"crps {library} {estimator}", ef.crps, samples, truth, **how)
            for exponent in (1.0, 1.5):
                r.call(f"energy_score {library} {estimator} {exponent}", ef.energy_score, samples,
                       truth, exponent=exponent, **how)  # fmt: skip
    x, y = points(3000, 2500, 2, "float32")[:2]
    for name in ("energy", "riesz", "gauss"):
        r.call(f"kernel_sum_gradient large {name}", ef.kernel_sum_gradient, x, y, None, 30,
               kernel=KERNELS[name], rng=0)  # fmt: skip


def flows(r: Recording) -> None:
    """A few steps of each flow, and what resumes them."""
    for library in ("numpy", "torch", "jax"):
        for dtype in ("float32", "float64"):
            x, y, _, b = map(converter(library), points(63, 64, 3, dtype))
            hidden = {"progress": False, "record_every": 3}
            for name, how in (
                ("plain", {}),
                ("momentum", {"momentum": 0.8, "target_weights": b, "step_size": 0.3}),
                ("batch", {"batch_size": 20, "momentum": lambda k: k / 20, "exponent": 1.5}),
                ("weighted batch", {"batch_size": 20, "target_weights": b}),
                ("hadamard", {"slicing": "hadamard", "exponent": 0.5}),
            )[: 2 if library == "jax" else 5]:
                flow = ef.ParticleFlow(y, n_projections=16, rng=7, **how)
                what = f"ParticleFlow {library} {dtype} {name}"
                result = r.call(what, flow.run, x, 6, **hidden)
                r.call(f"{what} resumed", flow.run, result, 4, **hidden)
            pairs = (y, y[:, :2] * 3)
            for name, how in (
                ("plain", {}),
                ("batch", {"batch_size": 20, "momentum": 0.5, "condition_weight": 2.0}),
            )[: 1 if library == "jax" else 2]:
                flow = ef.ConditionalFlow(*pairs, n_projections=16, rng=7, **how)
                what = f"ConditionalFlow {library} {dtype} {name}"
                result = r.call(what, flow.run, x, x[:, :2], 6, **hidden)
                r.call(f"{what} resumed", flow.run, result, x[:, :2], 4, **hidden)
    for dtype in ("float32", "float64"):
        x, y, _, b = points(63, 64, 3, dtype)
        for name, kernel in KERNELS.items():
            for method in ("direct", "sliced"):
                flow = ef.MMDFlow(y, kernel, method=method, rng=1, target_weights=b, momentum=0.5)
                r.call(f"MMDFlow {dtype} {name} {method}", flow.run, x, 5, **hidden)
        scheduled = ef.MMDFlow(y, lambda k: ef.kernels.Gauss(3 / (1 + k)))
        result = r.call(f"MMDFlow {dtype} scheduled", scheduled.run, x, 5, **hidden)
        r.call(f"MMDFlow {dtype} scheduled resumed", scheduled.run, result, 5, **hidden)
        for name in ("gauss", "laplace", "matern", "linear"):
            flow = ef.KALEFlow(y, KERNELS[name], regularization=0.1, target_weights=b)
            result = r.call(f"KALEFlow {dtype} {name}", flow.run, x, 5, **hidden)
            r.call(f"KALEFlow {dtype} {name} resumed", flow.run, result, 5, **hidden)
    with tempfile.TemporaryDirectory() as folder:
        result = ef.ParticleFlow(y, rng=0).run(x, 3, out=f"{folder}/flow.npz", progress=False)
        r.call("FlowResult.load", ef.FlowResult.load, f"{folder}/flow.npz")
    r.call("FlowDiverged", ef.ParticleFlow(y, step_size=1e308, rng=0).run, x, 9, **hidden)


def transport(r: Recording) -> None:
    """Couplings, geodesics and distances that keep conditions."""
    for n, m in ((24, 24), (24, 36)):
        x, z, a, b = points(n, m, 3)
        groups = np.arange(n) % 3, np.arange(m) % 3
        labels = tuple(v[:, None].astype(float) for v in groups)
        for library in ("numpy", "torch", "jax"):
            to = converter(library)
            x, z, a, b, *rest = map(to, points(n, m, 3) + labels)
            for name, how in (
                ("inf", {}), ("2", {"beta": 2.0}), ("p 1", {"beta": 1.5, "p": 1.0}),
                ("groups", {"groups": tuple(map(to, groups)), "beta": 0.0}),
                ("sinkhorn", {"beta": 1.0, "method": "sinkhorn", "regularization": 0.1}),
                ("partial", {"beta": 1.0, "mass": 0.6}), ("zero", {"beta": 0.0}),
            ):  # fmt: skip
                for weights in ((), (a, b)):
                    if weights and name in ("inf", "groups"):
                        continue  # conditions would have other weights
                    what = f"{library} {n}x{m} {name} {len(weights)} weights"
                    args = (x, rest[0], z, rest[1], *weights)
                    pairs = r.call(f"coupling {what}", ef.conditional_coupling, *args, **how)
                    if name != "partial":
                        distance = ef.conditional_wasserstein_distance
                        r.call(f"distance {what}", distance, *args, **how)
                    if pairs is not None:
                        r.keep(f"plan {what}", pairs.plan)
                        r.call(f"draw {what}", pairs.draw, 10, 3)
                        r.call(f"geodesic {what}", ef.conditional_geodesic, x, z, pairs, 0.3)
    import torch

    x, z = (torch.asarray(v).requires_grad_() for v in points(24, 24, 3)[:2])
    for p in (1.0, 2.0):
        value = ef.conditional_wasserstein_distance(x, x[:, :1], z, z[:, :1], beta=1.0, p=p)
        r.call(f"gradient of the distance {p}", torch.autograd.grad, value, (x, z))


def permutation_tests(r: Recording) -> None:
    """Tests of samples."""
    x, y = points(40, 50, 3)[:2]
    strata = [np.arange(len(v)) % 2 for v in (x, y, y + 1)]
    for library in ("numpy", "torch", "jax"):
        to = converter(library)
        for method, exponent in (("exact", 1.0), ("exact", 1.5), ("sliced", 1.0)):
            how = {"n_resamples": 60, "method": method, "exponent": exponent, "rng": 4}
            what = f"energy_test {library} {method} {exponent}"
            three = to(x), to(y), to(y + 1)
            r.call(f"{what} 2", ef.energy_test, to(x), to(y), **how)
            result = r.call(f"{what} 3", ef.energy_test, *three, **how)
            r.call(f"{what} scores", result.scores)
            r.call(f"{what} strata", ef.energy_test, *three, strata=strata, **how)
    r.call("energy_test float32", ef.energy_test, *points(600, 500, 2, "float32")[:2], rng=0,
           method="sliced", n_resamples=99)  # fmt: skip


def dependence(r: Recording) -> None:
    """Distance covariances and correlations, and tests of independence."""
    for library in ("numpy", "torch"):
        x, y = (converter(library)(v) for v in points(60, 60, 2)[:2])
        z = x[:, :1] + y[:, 1:]
        for exponent in (1.0, 0.7):
            how: dict[str, Any] = {"exponent": exponent}
            for f in (ef.distance_covariance, ef.distance_correlation):
                r.call(f"{f.__name__} {library} {exponent}", f, x, z, **how)
            for f in (ef.partial_distance_covariance, ef.partial_distance_correlation):
                r.call(f"{f.__name__} {library} {exponent}", f, x, y, z, **how)
            for estimator in ("V", "U"):
                how["estimator"] = estimator
                what = f"{library} {exponent} {estimator}"
                for f in (ef.distance_covariance_squared, ef.distance_correlation_squared):
                    r.call(f"{f.__name__} {what}", f, x, z, **how)
                for f in (
                    ef.sliced_distance_covariance_squared, ef.sliced_distance_correlation_squared,
                ):  # fmt: skip
                    r.call(f"{f.__name__} {what}", f, x, z, 20, rng=0, **how)
                for given in (None, y[:, :1]):
                    kind = "" if given is None else " partial"
                    r.call(f"independence_test {what}{kind}", ef.independence_test, x, z, given,
                           n_resamples=60, rng=0, **how)  # fmt: skip


def wasserstein(r: Recording) -> None:
    """Sliced Wasserstein distances."""
    for library in ("numpy", "torch", "jax"):
        for dtype in ("float32", "float64"):
            x, y, a, b = map(converter(library), points(63, 64, 3, dtype))
            for p in (1.0, 2.0):
                for weights in ((), (a, b)):
                    what = f"{library} {dtype} {p} {len(weights)} weights"
                    how = {"n_projections": 20, "p": p, "rng": 0}
                    for f in (ef.sliced_wasserstein_distance, ef.max_sliced_wasserstein_distance):
                        r.call(f"{f.__name__} {what}", f, x, y, *weights, **how)


def reference(r: Recording) -> None:
    """The slow twins."""
    x, y, a, b = points(20, 30, 3)
    theta = ef.sample_projections(7, 3, method="iid", rng=0)
    for exponent in (0.5, 1.0, 1.5):
        r.keep(f"slicing_constant {exponent}", ef.reference.slicing_constant(7, exponent))
        r.call(f"flow_step {exponent}", ef.reference.flow_step, x, 0.1 * x, y, projections=theta,
               step_size=0.5, momentum=0.5, exponent=exponent)  # fmt: skip
        for estimator in ("V", "U"):
            how = {"exponent": exponent, "estimator": estimator}
            for f in (ef.reference.energy_distance, ef.reference.energy_gradient):
                r.call(f"{f.__name__} {how}", f, x, y, a, b, **how)
            for f in (ef.reference.sliced_energy_distance, ef.reference.sliced_energy_gradient):
                r.call(f"{f.__name__} {how}", f, x, y, a, b, projections=theta, **how)
    for name, kernel in KERNELS.items():
        r.call(f"kernel_sum {name}", ef.reference.kernel_sum, x, y, b, kernel=kernel)


def processes(r: Recording) -> None:
    """What one process shares with itself."""
    x = points(20, 30, 3)[0]
    r.call("shard", ef.distributed.shard, x)
    r.call("gather", ef.distributed.gather, x)


def datasets(r: Recording) -> None:
    """Toys, digits, and files."""
    from energyflow import datasets

    for name in datasets.TOYS:
        r.call(name, datasets.load, name, n=50, seed=3)
    r.call("digits", datasets.load, "digits", seed=1)
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 3, 6, 6)), np.arange(40) % 4
    r.call("from_arrays", datasets.from_arrays, images, labels, condition=labels[:, None] / 4)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        np.save(files / "a.npy", images)
        np.savez(files / "b.npz", x=images, labels=labels)
        r.call("npy", datasets.load, files / "a.npy")
        r.call("npz", datasets.load, files / "b.npz")
        from PIL import Image

        for k, image in enumerate(images):
            place = files / "images" / str(labels[k])
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 * image.transpose(1, 2, 0)).astype(np.uint8)).save(
                place / f"{k}.png"
            )
        r.call("images", datasets.load, files / "images", size=4)


def metrics(r: Recording) -> None:
    """Measures of samples, and the report of them."""
    from energyflow import datasets, metrics

    moons = datasets.load("moons", n=200)
    samples = (moons.train + 0.02).astype(np.float32)
    r.call("energy report", metrics.energy_distance_report, samples, moons.test)
    r.call("energy report sliced", metrics.energy_distance_report, samples, moons.test,
           method="sliced", n_projections=30, real=moons.train)  # fmt: skip
    r.call("frechet", metrics.frechet_distance, samples, moons.test)
    r.call("neighbours", metrics.nearest_neighbours, samples, moons.train, moons.test)
    r.call("precision and recall", metrics.precision_recall, moons.test, samples)
    r.call("classifier", metrics.classifier_report, samples, moons.train_labels, moons)
    rng = np.random.default_rng(0)
    images, labels = rng.random((60, 1, 8, 8)), np.arange(60) % 2
    images[labels == 1, :, :4] += 1
    for kind in ("mlp", "cnn"):
        model = metrics.train_classifier(images.astype(np.float32), labels, kind=kind)
        r.call(f"features {kind}", model.features, images[:9].astype(np.float32))
        r.call(f"probabilities {kind}", model.predict, images[:9].astype(np.float32))
    report = metrics.evaluate(samples, moons, labels=moons.train_labels, n_repeats=2)
    r.keep("evaluate", [row.samples for row in report.rows])
    r.keep("evaluate real", [row.real for row in report.rows])
    truths, posterior = rng.random((6, 1, 8, 8)), rng.random((6, 10, 1, 8, 8))
    r.call("psnr", metrics.psnr, posterior[:, 0], truths)
    r.call("ssim", metrics.ssim, posterior[:, 0], truths)
    r.call("calibration", metrics.calibration, posterior, truths)
    r.call("posterior table", metrics.posterior_table, {"p": posterior}, truths,
           {"g": posterior[:, 1]})  # fmt: skip


def inverse(r: Recording) -> None:
    """Operators, noise, problems, first guesses and their parts."""
    from energyflow import inverse

    rng = np.random.default_rng(0)
    images, vectors = rng.random((5, 1, 16, 16)), rng.random((5, 6))
    operators = {
        "linear": (inverse.Linear(rng.normal(size=(4, 6))), vectors),
        "diagonal": (inverse.Linear([1.0, 0.5, 2, 3, 4, 5]), vectors),
        "mask": (inverse.Mask(rng.random((16, 16)) > 0.4), images),
        "blur": (inverse.BlurDownsample(1.0, 5, 2), images),
        "blur zeros": (inverse.BlurDownsample(1.0, 4, 4, edges="zeros"), images),
        "radon": (inverse.Radon(16, 9, 0.2), images),
    }
    for name, (operator, x) in operators.items():
        for noise in (inverse.Gaussian(0.1), inverse.Poisson(100.0, 0.5)):
            for dtype in (np.float32, np.float64):
                what = f"{name} {type(noise).__name__} {dtype.__name__}"
                problem = operator + noise
                y = r.call(f"simulate {what}", problem.simulate, x.astype(dtype), rng=3)
                r.call(f"clean {what}", operator, x.astype(dtype))
                if y is not None:
                    r.call(f"lift {what}", problem.lift, y)
                    r.call(f"residuals {what}", problem.residuals, x.astype(dtype), y[0])
                    if hasattr(operator, "adjoint"):
                        r.call(f"adjoint {what}", operator.adjoint, y)
    flat = rng.normal(size=(40, 1, 4, 4)) * np.linspace(0.1, 3, 16).reshape(1, 4, 4)
    for share in (0.5, 0.95, 1.0):
        components = inverse.Components.of(flat, share)
        z = r.call(f"components {share}", components.reduce, flat)
        r.call(f"components back {share}", components.expand, z)
    regression, beyond = inverse.Regression.fit(flat, flat[:, :, :2])
    r.keep("regression", (beyond, regression(flat[:, :, :2])))
    posterior = inverse.Posterior(vectors)
    r.keep("posterior", (posterior.mean, posterior.std, *posterior.interval(0.8)))


def flow_generator(r: Recording) -> None:
    """Short trainings of flow generators."""
    from energyflow.models import FlowGenerator, Pyramid, UNet

    x, labels = _training_data()
    for name, condition, how in (
        ("plain", None, {}), ("classes", labels, {"particles": "network", "ema": 0.9}),
        ("continuous", x[:, :1], {"particles": "flow", "carry_velocity": True, "start": "normal"}),
        ("one network", labels, {"one_network": True, "loss": "l1", "exponent": 1.5}),
    ):  # fmt: skip
        _train(r, f"FlowGenerator {name}", FlowGenerator, x, condition, {
            "n_particles": 100, "n_projections": 8, "n_blocks": 3, "block_cap": 10,
            "network_steps": 15, "batch_size": 32, **how,
        })  # fmt: skip
    pyramid = Pyramid((4, 8), (1, 2), 0.08, (0.5, 1.0), (0.8, 0.8), 0.01, (2, 2), 3, (0, 1))
    images = np.random.default_rng(2).random((50, 1, 8, 8)).astype(np.float32)
    _train(r, "FlowGenerator pyramid", FlowGenerator, images, None, {
        "n_particles": 40, "n_projections": 8, "block_cap": 6, "network_steps": 3,
        "batch_size": 16, "pyramid": pyramid, "architecture": UNet(16, (1, 2), 1),
    }, n=4)  # fmt: skip


def dmmd(r: Recording) -> None:
    """Short trainings of deep MMD flows."""
    from energyflow.models import DMMD

    x, labels = _training_data()
    short = {"n_levels": 2, "n_steps": 2, "denoise": 1}
    for kernel in ("energy", "linear", "rbf"):
        for condition in (None, labels):
            name = f"DMMD {kernel} {'plain' if condition is None else 'classes'}"
            model = _train(r, name, DMMD, x, condition, {
                "n_steps": 20, "n_rounds": 2, "batch_size": 32, "n_features": 4, "kernel": kernel,
                "n_reference": 50,
            }, **short)  # fmt: skip
            if condition is None:
                r.call(f"{name} independent", model.sample, 6, rng=1, method="independent", **short)
                if kernel == "linear":
                    r.call(f"{name} KALE", model.sample, 6, rng=1, objective="kale", **short)


def flow_matching(r: Recording) -> None:
    """Short trainings by flow matching."""
    from energyflow.models import FlowMatching

    x, labels = _training_data()
    for coupling in ("none", "ot", "conditional-ot"):
        for name, condition in (("plain", None), ("classes", labels), ("continuous", x[:, :1])):
            model = _train(r, f"FlowMatching {coupling} {name}", FlowMatching, x, condition, {
                "n_steps": 20, "n_rounds": 2, "batch_size": 32, "sampling_steps": 4,
                "coupling": coupling, "condition_dropout": 0.2 if name == "classes" else 0.0,
            })  # fmt: skip
            if coupling == "none" and name == "classes":
                for solver in ("euler", "rk4", "dopri5"):
                    r.call(f"FlowMatching by {solver}", model.sample, 5, labels[:5], rng=0,
                           solver=solver, guidance=2.0)  # fmt: skip
                r.call("log_likelihood", model.log_likelihood, x[:5], labels[:5])


def posterior_flow(r: Recording) -> None:
    """Short trainings of posterior flows."""
    from energyflow.inverse import BlurDownsample, Gaussian, Linear, PosteriorFlow
    from energyflow.models import MLP

    small = {"n_particles": 100, "n_projections": 8, "n_blocks": 2, "block_cap": 8,
             "network_steps": 10, "batch_size": 32, "architecture": MLP(16, 1)}  # fmt: skip
    rng = np.random.default_rng(1)
    images = rng.random((80, 1, 8, 8)).astype(np.float32)
    coarse = BlurDownsample(1, 4, 2) + Gaussian(0.05)
    line = Linear([1.0, 0.5]) + Gaussian(0.3)
    for name, problem, x, how in (
        ("vectors", line, _training_data()[0], {}),
        ("images", coarse, images, {"components": 0.9}),
        ("regression", coarse, images, {"guess": "regression", "components": 0.9}),
    ):
        flow = PosteriorFlow(problem, **how, **small)
        observed = problem.simulate(x[:3], rng=2)
        flow.fit(x, held_out=x[:30], rng=0, progress=False)
        r.call(f"PosteriorFlow {name} guess", flow.first_guess, observed)
        posterior = flow.sample(observed[0], 5, rng=0)
        r.keep(f"PosteriorFlow {name}", (posterior.samples, posterior.residuals()))


def _training_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=150)
    return (rng.normal(size=(150, 2)) + 8 * labels[:, None]).astype(np.float32), labels


def _train(
    r: Recording, name: str, kind: Any, data: np.ndarray, condition: Any, settings: dict[str, Any],
    n: int = 6, **how: Any,
) -> Any:  # fmt: skip
    """A model that is fitted, saved and loaded; its samples and its log are recorded."""
    from energyflow.models import MLP, load

    model = kind(**{"architecture": MLP(16, 1), **settings}, device="cpu")
    asked = None if condition is None else condition[:n]
    held_out = {} if condition is None else {"held_out_condition": condition[:40]}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        model.fit(data, condition, data[:40], **held_out, out=run, progress=False)
        lines = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
        timed = [k for k, title in enumerate(lines[0]) if "second" in title]
        r.keep(f"{name} log", np.array([[_number(v) for k, v in enumerate(line) if k not in timed]
                                        for line in lines[1:]]))  # fmt: skip
        r.call(f"{name} loaded", load(run).sample, n, asked, 2, **how)
    r.call(name, model.sample, n, asked, rng=2, **how)
    return model


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


SECTIONS = (
    distances, forms, slicings, derivatives, kernel_sums, flows, transport, permutation_tests,
    dependence, wasserstein, reference, processes, datasets, metrics, inverse,
    flow_generator, dmmd, flow_matching, posterior_flow,
)  # fmt: skip


def recorded(only: str = "") -> dict[str, np.ndarray]:
    """The outputs of all sections, or of those with a text in their names."""
    import jax
    import torch

    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    outputs: dict[str, np.ndarray] = {}
    for section in SECTIONS:
        if only not in section.__name__:
            continue
        start, recording = process_time(), Recording()
        section(recording)
        outputs |= {f"{section.__name__}: {k}": v for k, v in recording.arrays.items()}
        seconds = process_time() - start
        print(f"{section.__name__:20} {len(recording.arrays):5} outputs {seconds:6.1f} s of CPU",
              file=sys.stderr)  # fmt: skip
    return outputs


def difference(old: np.ndarray | None, new: np.ndarray | None) -> str:
    """How two arrays differ, in words; an empty text where they are the same bit for bit."""
    if old is None or new is None:
        return "is new" if old is None else "is missing"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"was {old.dtype} {old.shape}, is {new.dtype} {new.shape}"
    if old.tobytes() == new.tobytes():
        return ""
    if old.dtype.kind not in "fiu":
        return f"was {old}, is {new}"
    with np.errstate(all="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
        largest, scale = float(np.nanmax(apart)), float(np.nanmax(np.abs(old))) or 1.0
    count = int(np.sum(~((old == new) | ((old != old) & (new != new)))))
    share = f"{largest:.3g} ({largest / scale:.3g} of the largest)"
    return f"{count} of {old.size} differ, by at most {share}"


def compare(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> list[str]:
    """A line for each output that differs."""
    differences = {name: difference(old.get(name), new.get(name)) for name in {**old, **new}}
    return [f"{name}: {words}" for name, words in differences.items() if words]


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", help="text in the names of sections")
    options = parser.parse_args()
    new = recorded(options.only)
    if options.command == "record":
        np.savez_compressed(options.file, **new)
        print(f"{len(new)} outputs in {options.file}")
        return
    with np.load(options.file) as file:
        old = {name: file[name] for name in file.files}
    if options.only:
        old = {k: v for k, v in old.items() if options.only in k.split(":")[0]}
    lines = compare(old, new)
    print("\n".join([*lines, f"{len(lines)} of {len({**old, **new})} outputs differ"]))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
