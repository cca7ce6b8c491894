"""Every public function takes strange arguments, or refuses them by name."""

from __future__ import annotations

import math
import re
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz.seeds import PROBLEM

import energyflow as ef
from energyflow import datasets, distributed, inverse, kernels, metrics

X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.random.default_rng(1).normal(size=(5, 3))
A, B = np.full(6, 1 / 6), np.full(5, 1 / 5)
CONDITION = X[:, :2]
UNIT = X / np.linalg.norm(X, axis=1, keepdims=True)
IMAGES = np.abs(np.random.default_rng(2).normal(size=(2, 1, 8, 8)))
LABELS = np.arange(6) % 2
COUPLING = ef.conditional_coupling(X, CONDITION, Y, CONDITION[:5], beta=3.0)

STRANGE: dict[str, Any] = {
    "None": None, "text": "strange", "empty text": "", "bytes": b"x", "True": True,
    "object": object(), "zero": 0, "minus one": -1, "half": 0.5, "minus half": -0.5,
    "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "2**63": 2**63, "10**400": 10**400,
    "1j": 1j, "[]": [], "[1]": [1], "ragged": [[1.0], [1.0, 2.0]], "{}": {}, "type": int,
    "Path": Path("strange"),
    "NaN in points": np.where(np.arange(18).reshape(6, 3) == 7, np.nan, X),
    "NaN": np.full(6, np.nan), "infinite points": np.where(X > 1, np.inf, X),
    "far points": np.sign(X) * 1.7e308, "tiny points": X * 1e-320,
    "equal points": np.zeros((6, 3)), "no points": np.zeros((0, 3)),
    "no dimension": np.zeros((6, 0)), "no numbers": np.zeros(0), "0-d": np.array(1.0),
    "one axis": np.ones(4), "three axes": np.ones((2, 4, 3)),
    "five axes": np.ones((1, 1, 2, 2, 2)), "other shape": np.ones((7, 4)), "one point": X[:1],
    "negative weights": np.array([2.0, -1, 0, 0, 0, 0]), "heavy weights": np.ones(6),
    "objects": X.astype(object), "complex": X + 1j, "bool": X > 0,
    "int": np.arange(18).reshape(6, 3), "uint8": np.arange(6, dtype=np.uint8),
    "text array": np.array([["a", "b"], ["c", "d"]]), "dates": np.zeros((6, 3), "datetime64[s]"),
    "records": np.zeros(6, [("a", float)]), "masked": np.ma.masked_array(X, X > 0),
    "matrix": X.view(np.matrix), "half precision": X.astype("f2"), "swapped": X.astype(">f8"),
    "strided": X[::-2, ::-1],
}  # fmt: skip

Case = tuple[Callable[..., Any], dict[str, Any]]
TWO: dict[str, Any] = {"x": X, "y": Y, "a": A, "b": B}
SLICED = {
    **TWO, "n_projections": 4, "projections": None, "slicing": "auto", "rng": 0, "exponent": 1.0,
    "estimator": "V", "chunk_size": 2,
}  # fmt: skip
EXACT = {**TWO, "exponent": 1.0, "estimator": "V", "chunk_size": 2}
SUMS = {
    "x": X, "y": Y, "weights": B, "n_projections": 4, "kernel": "gauss", "projections": None,
    "slicing": "auto", "rng": 0, "method": "sliced", "tolerance": 1e-3, "chunk_size": 2,
}  # fmt: skip
WITNESS = {
    "points": X, **TWO, "n_projections": 4, "kernel": "energy", "method": "direct", "rng": 0,
    "projections": None, "slicing": "auto", "tolerance": 1e-3, "chunk_size": 2,
}  # fmt: skip
PAIRED = {
    "x": X, "y_x": CONDITION, "z": Y, "y_z": CONDITION[:5], "a": A, "b": B, "p": 2.0, "beta": 3.0,
    "groups": None, "method": "exact", "regularization": None,
}  # fmt: skip
PAIR = {"x": X, "y": X**2, "exponent": 1.0}
PAIR_SLICES = {"n_projections": 4, "estimator": "V", "slicing": "iid", "rng": 0, "chunk_size": 2}
SCORED = {"samples": X, "truth": X[0], "weights": A, "estimator": "V"}
FLOW = {
    "target": Y, "target_weights": B, "n_projections": 4, "slicing": "auto", "step_size": 0.5,
    "momentum": 0.5, "rng": 0,
}  # fmt: skip
PARTICLE = {**FLOW, "exponent": 1.0, "batch_size": None}
CONDITIONAL = {
    **PARTICLE, "target_condition": CONDITION[:5], "condition_weight": 2.0, "target_weights": None,
}  # fmt: skip
MMD = {**FLOW, "kernel": "gauss", "method": "direct"}
KALE = {
    "target": Y, "kernel": "gauss", "regularization": 0.1, "target_weights": B, "step_size": 0.01,
    "momentum": 0.0,
}  # fmt: skip
RUN = {"particles": X, "n_steps": 1}
# What messages call an argument, where it is not by its own name.
ALIASES = {
    "first": "samples",
    "values": "given",
    "name": "name|backend",
    "settings": "problem",
    "condition": "(train_|test_)?condition",
}


def used(name: Any) -> None:
    with ef.use_backend(name):
        pass


def shared(what: Any, **how: Any) -> None:
    with distributed.sharded(what, **how):
        pass


def run(flow: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """Build a flow from the arguments that are its own, and run it."""

    def built_and_run(**arguments: Any) -> Any:
        running = {k: arguments.pop(k) for k in (*RUN, *more) if k in arguments}
        return flow(**arguments).run(**running, progress=False)

    return built_and_run


CASES: dict[str, Case] = {
    "energy_distance": (ef.energy_distance, EXACT),
    "energy_gradient": (ef.energy_gradient, EXACT),
    "sliced_energy_distance": (ef.sliced_energy_distance, SLICED),
    "sliced_energy_gradient": (ef.sliced_energy_gradient, SLICED),
    "sliced_energy_value_and_gradient": (ef.sliced_energy_value_and_gradient, SLICED),
    "sliced with projections": (
        ef.sliced_energy_distance, {"x": X, "y": Y, "projections": UNIT},
    ),
    "slicing_constant": (ef.slicing_constant, {"d": 3, "exponent": 1.0}),
    "sample_projections": (
        ef.sample_projections, {"n": 4, "d": 3, "method": "auto", "rng": 0, "like": X},
    ),
    "kernel_sum": (ef.kernel_sum, SUMS),
    "kernel_sum_gradient": (ef.kernel_sum_gradient, SUMS),
    "witness": (ef.witness, WITNESS),
    "witness_gradient": (ef.witness_gradient, WITNESS),
    "mmd_squared": (
        ef.mmd_squared, {**TWO, "kernel": "matern", "estimator": "V", "chunk_size": 2},
    ),
    "kale": (ef.kale, {**TWO, "kernel": "gauss", "regularization": 0.1}),
    "conditional_coupling": (ef.conditional_coupling, {**PAIRED, "mass": 1.0}),
    "conditional_wasserstein_distance": (
        ef.conditional_wasserstein_distance, {**PAIRED},
    ),
    "conditional_geodesic": (
        ef.conditional_geodesic,
        {"x": X, "z": Y, "coupling": COUPLING, "t": 0.5},
    ),
    "crps": (ef.crps, {**SCORED}),
    "energy_score": (ef.energy_score, {**SCORED, "exponent": 1.0}),
    "energy_test": (
        lambda first, **how: ef.energy_test(first, Y, **how),
        {
            "first": X, "n_resamples": 9, "exponent": 1.0, "method": "auto", "n_projections": 4,
            "slicing": "auto", "strata": None, "scale": "auto", "rng": 0,
        },
    ),
    "column_tests": (
        lambda first, **how: ef.column_tests(first, Y, **how),
        {
            "first": X, "n_resamples": 9, "exponent": 1.0, "method": "auto", "n_projections": 4,
            "slicing": "auto", "strata": None, "scale": "sd", "rng": 0,
        },
    ),
    "effect_size": (
        ef.energy_test(X, Y, n_resamples=9, rng=0).effect_size,
        {"n_resamples": 9, "confidence": 0.5, "rng": 0},
    ),
    "EnergyMonitor": (
        ef.EnergyMonitor,
        {
            "reference": X, "n_batches": 2, "alpha": 0.05, "n_resamples": 9, "n_projections": 4,
            "slicing": "auto", "scale": "sd", "rng": 0,
        },
    ),
    "EnergyMonitor.test": (
        ef.EnergyMonitor(X, n_batches=10**6, n_resamples=9, n_projections=4, rng=0).test,
        {"batch": Y},
    ),
    "kernel_test": (
        ef.kernel_test,
        {
            "x": X, "y": Y, "kernel": "gauss", "bandwidth": "median", "n_resamples": 9,
            "strata": None, "scale": "auto", "rng": 0,
        },
    ),
    "distance_covariance_squared": (
        ef.distance_covariance_squared, {**PAIR, "estimator": "U", "chunk_size": 2},
    ),
    "distance_covariance": (ef.distance_covariance, {**PAIR, "chunk_size": 2}),
    "distance_correlation_squared": (
        ef.distance_correlation_squared, {**PAIR, "estimator": "U", "chunk_size": 2},
    ),
    "distance_correlation": (ef.distance_correlation, {**PAIR, "chunk_size": 2}),
    "sliced_distance_covariance_squared": (
        ef.sliced_distance_covariance_squared, {**PAIR, **PAIR_SLICES},
    ),
    "sliced_distance_correlation_squared": (
        ef.sliced_distance_correlation_squared, {**PAIR, **PAIR_SLICES},
    ),
    "partial_distance_covariance": (ef.partial_distance_covariance, {**PAIR, "z": X}),
    "partial_distance_correlation": (ef.partial_distance_correlation, {**PAIR, "z": X}),
    "independence_test": (
        ef.independence_test,
        {
            **PAIR, "given": None, "n_resamples": 9, "estimator": "V", "method": "auto",
            "n_projections": 4, "slicing": "auto", "strata": None, "rng": 0,
        },
    ),
    "use_backend": (used, {"name": "numpy"}),
    "distributed.sharded": (shared, {"what": "slices", "group": None, "timeout": 9.0}),
    "distributed.shard": (distributed.shard, {"whole": X}),
    "distributed.gather": (distributed.gather, {"part": X}),
    "ParticleFlow": (run(ef.ParticleFlow), {**PARTICLE, **RUN}),
    "MMDFlow": (run(ef.MMDFlow), {**MMD, **RUN}),
    "KALEFlow": (run(ef.KALEFlow), {**KALE, **RUN}),
    "ConditionalFlow": (
        run(ef.ConditionalFlow, condition=None), {**CONDITIONAL, **RUN, "condition": CONDITION},
    ),
    "HadamardSlicing": (ef.HadamardSlicing, {"rounds": 2}),
    "PatchSlicing": (
        ef.PatchSlicing, {"shape": (1, 8, 8), "size": 3, "scales": (0, 1), "beside": 2},
    ),
    "Gauss": (kernels.Gauss, {"sigma": 1.0}),
    "Laplace": (kernels.Laplace, {"beta": 1.0}),
    "Matern": (kernels.Matern, {"nu": 1.5, "beta": 1.0}),
    "Riesz": (kernels.Riesz, {"exponent": 1.0}),
    "datasets.load": (
        partial(datasets.load, "moons"), {"split": 0.2, "size": None, "n": 20, "seed": 0},
    ),
    "datasets.from_arrays": (
        datasets.from_arrays,
        {
            "values": X, "labels": LABELS, "condition": None, "name": "given", "split": 0.3,
            "seed": 0, "low_high": None,
        },
    ),
    "BlurDownsample": (
        inverse.BlurDownsample,
        {"std": 1.0, "size": 4, "stride": 2, "padding": None, "edges": "reflect"},
    ),
    "Gaussian": (inverse.Gaussian, {"std": 1.0}),
    "Poisson": (inverse.Poisson, {"photons": 9.0, "attenuation": 1.0}),
    "Linear": (inverse.Linear, {"matrix": np.eye(3)}),
    "Mask": (inverse.Mask, {"seen": np.array([1, 0, 1])}),
    "Radon": (inverse.Radon, {"size": 4, "angles": 2, "missing": 0.0}),
    "Problem": (
        inverse.Problem, {"operator": inverse.Linear([1.0]), "noise": inverse.Gaussian(1.0)},
    ),
    "Problem.simulate": (
        (inverse.Linear([1.0, 2, 3]) + inverse.Gaussian(1.0)).simulate, {"images": X, "rng": 0},
    ),
    "Problem.from_settings": (inverse.Problem.from_settings, {"settings": PROBLEM}),
    "Linear.__call__": (inverse.Linear([1.0, 2, 3]), {"images": X}),
    "sbc": (
        metrics.sbc,
        {
            "samples": IMAGES[:, 0], "truths": IMAGES[:, 0, 0], "rng": 0, "names": None,
            "test": "ks", "bins": 2,
        },
    ),
    "tarp": (
        metrics.tarp,
        {
            "samples": IMAGES[:, 0], "truths": IMAGES[:, 0, 0], "rng": 0, "references": None,
            "n_bootstrap": 2,
        },
    ),
    "posterior_predictive": (
        metrics.posterior_predictive,
        {"simulated": X, "observation": X[0], "names": None, "held_out": True},
    ),
    "pair_plot": (metrics.pair_plot, {"samples": X, "truth": None, "names": None}),
    "energy_distance_report": (
        metrics.energy_distance_report,
        {
            "samples": X, "held_out": Y, "rng": 0, "real": None, "strata": None, "n_repeats": 2,
            "method": "auto", "n_projections": 4,
        },
    ),
    "frechet_distance": (metrics.frechet_distance, {"features_x": X, "features_y": Y}),
    "kernel_distance": (metrics.kernel_distance, {"features_x": X, "features_y": Y}),
    "nearest_neighbours": (
        metrics.nearest_neighbours, {"samples": X, "train": Y, "held_out": X + 1},
    ),
    "precision_recall": (metrics.precision_recall, {"real": X, "fake": Y, "k": 2}),
    "psnr": (metrics.psnr, {"images": IMAGES, "truths": IMAGES + 0.1, "data_range": 1.0}),
    "ssim": (metrics.ssim, {"images": IMAGES, "truths": IMAGES + 0.1, "data_range": 1.0}),
}  # fmt: skip


@pytest.mark.filterwarnings(
    "ignore:kernel .* has the length 1", "ignore:the standard deviations of"
)
@pytest.mark.parametrize("name", CASES)
def test_strange_arguments(name: str) -> None:
    """Each argument in turn is strange: it is taken, or named by a ValueError or TypeError."""
    call, good = CASES[name]
    call(**good)
    found = []
    for argument in good:
        for kind, value in STRANGE.items():
            fault = refusal(partial(call, **{**good, argument: value}), argument)
            if fault:
                found.append(f"{argument} = {kind}: {fault}")
    assert not found, "\n".join(found)


def refusal(call: Callable[[], Any], argument: str) -> str | None:
    """What is wrong with how a call ends; None where nothing is."""
    tracemalloc.start()
    try:
        call()
    except (ValueError, TypeError, OSError, ef.EnergyflowError) as error:
        if not re.search(rf"\b({ALIASES.get(argument, argument)})\b", str(error)):
            return f"does not name it: {type(error).__name__}: {error}"
    except Exception as error:  # what a test must not let through, told as one of many
        return f"{type(error).__name__}: {error}"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return f"takes {peak} bytes" if peak > 2**26 else None
