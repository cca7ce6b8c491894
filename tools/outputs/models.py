"""Data, metrics, inverse problems and models: each section records some outputs of them."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .recording import Recording


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
    r.call("kernel distance", metrics.kernel_distance, samples, moons.test)
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
    r.call("c2st", metrics.c2st, samples[:60], moons.test[:60])
    r.call("sbc", metrics.sbc, posterior, truths)
    r.call("tarp", metrics.tarp, posterior, truths)
    r.call("posterior predictive", metrics.posterior_predictive, posterior[0], truths[0])
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
        components = inverse.WhitenedPCA.of(flat, share)
        z = r.call(f"components {share}", components.reduce, flat)
        r.call(f"components back {share}", components.expand, z)
    regression, beyond = inverse.CrossFittedRidge.fit(flat, flat[:, :, :2])
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
            "n_steps": 15, "batch_size": 32, **how,
        })  # fmt: skip
    pyramid = Pyramid((4, 8), (1, 2), 0.08, (0.5, 1.0), (0.8, 0.8), 0.01, (2, 2), 3, (0, 1))
    images = np.random.default_rng(2).random((50, 1, 8, 8)).astype(np.float32)
    _train(r, "FlowGenerator pyramid", FlowGenerator, images, None, {
        "n_particles": 40, "n_projections": 8, "block_cap": 6, "n_steps": 3,
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
             "n_steps": 10, "batch_size": 32, "architecture": MLP(16, 1)}  # fmt: skip
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


SECTIONS = (datasets, metrics, inverse, flow_generator, dmmd, flow_matching, posterior_flow)
