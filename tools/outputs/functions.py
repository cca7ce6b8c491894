"""Functions of points: each section records some outputs of distances, sums, flows and tests."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

import energyflow as ef

from .inputs import BACKENDS, KERNELS, SIZES, converter, implementation, points
from .recording import Recording


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
    for scale in ("sd", "rank"):
        r.call(f"energy_test {scale}", ef.energy_test, x, y, scale=scale, n_resamples=60, rng=4)
    result = r.call("energy_test all", ef.energy_test, x[:4], y[:3], n_resamples="all")
    r.call("inhomogeneity", result.inhomogeneity)
    effect = result.effect_size(60, rng=0)
    r.keep("effect_size", (effect.value, effect.low, effect.high))
    r.call("column_tests", ef.column_tests, x, y, n_resamples=60, rng=4)
    for bandwidth in ("median", "aggregate"):
        for kernel in ("gauss", "laplace", "matern"):
            r.call(f"kernel_test {kernel} {bandwidth}", ef.kernel_test, x, y, kernel=kernel,
                   bandwidth=bandwidth, n_resamples=60, rng=4)  # fmt: skip


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


SECTIONS = (
    distances, forms, slicings, derivatives, kernel_sums, flows, transport, permutation_tests,
    dependence, wasserstein, reference, processes,
)  # fmt: skip
