"""Posteriors of images: digits half seen, a material at four times the resolution, tomography.

Posteriors are not known here: samples are scored beside the lifted observation and the prior.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from energyflow import datasets, inverse, metrics
from energyflow.models import MLP, FlowGenerator, save_grid

from ..runner import Experiments, Line, Run
from ._phantoms import Tiles, ellipses, wedge

EXPERIMENTS = Experiments()
_SAMPLES = 50
_TILE_SAMPLES = 300  # of each tile of the material


@EXPERIMENTS("inpainting")
def inpainting(run: Run) -> Iterator[Line]:
    """Digits of 8 x 8 pixels, of which the lowest three rows are seen."""
    digits = datasets.load("digits")
    problem = inverse.Mask.rows((8, 8), 5, 8) + inverse.Gaussian(0.05)
    truths = digits.test[: 10 if run.quick else 100]
    yield from _posteriors(run, "inpainting", problem, digits.train, truths, _digit_settings(run))


@EXPERIMENTS("classes")
def classes(run: Run) -> Iterator[Line]:
    """Digits for each label: samples beside real ones, and whether a classifier agrees."""
    from sklearn.neighbors import KNeighborsClassifier

    digits = datasets.load("digits")
    model = FlowGenerator(**_digit_settings(run), seed=run.seed, device="cpu")
    begun = perf_counter()
    model.fit(digits.train, digits.train_labels, progress=False)
    note = trained(model, begun)

    def flat(images: np.ndarray) -> np.ndarray:
        return np.asarray(images).reshape(len(images), -1)

    labels = np.repeat(np.arange(10), 10)
    save_grid(run.out / "posterior_classes.png", model.sample(len(labels), labels, rng=run.seed))
    nearest = KNeighborsClassifier(3).fit(flat(digits.train), digits.train_labels)
    labels = np.repeat(np.arange(10), 30)
    samples = model.sample(len(labels), labels, rng=run.seed + 1)
    for method, images, expected in (
        ("class-conditional flow", samples, labels),
        ("real digits", digits.test, digits.test_labels),
    ):
        share = np.mean(nearest.predict(flat(images)) == expected)
        yield Line("digits by class", method, {"3 neighbours agree": share}, note)


@EXPERIMENTS("superresolution")
def superresolution(run: Run, *, material: str = "") -> Iterator[Line]:
    """Crops of a material, blurred, every fourth pixel kept, noise 0.01.

    Whole slices are observed, with the published blur, which shifts by 6 pixels. Cut down to a
    CPU, tiles of 16 x 16 pixels are learned from the 13 x 13 observations around them, as the
    principal components beyond their linear regression; 560 x 560 pixels of the test image are
    sampled tile by tile, and scored as one image. The picture shows a part.
    Without `material` the experiment is left out.
    """
    if not material:
        print("superresolution is left out: it needs --material")
        return
    problem = inverse.BlurDownsample(2, 16, 4, (0, 12)) + inverse.Gaussian(0.01)
    rng = np.random.default_rng([run.seed, Tiles.side])
    slices = np.stack([_gray(path) for path in sorted(Path(material, "train").glob("*.png"))])
    seen = problem.simulate(slices, rng)
    corners = rng.integers(8, seen.shape[1] - 12, size=(1000 if run.quick else 20_000, 2))
    which = rng.integers(len(slices), size=len(corners))
    places = [(slices[k], seen[k], [(i, j)]) for k, (i, j) in zip(which, corners, strict=True)]
    images = np.concatenate([Tiles.of(x, at) for x, _, at in places])
    contexts = np.concatenate([Tiles.around(y, at) for _, y, at in places])
    guess, beyond = inverse.CrossFittedRidge.fit(images, contexts)
    components = inverse.WhitenedPCA.of(beyond, 0.99)
    large = {} if run.quick else {"n_particles": 8000, "n_steps": 1200}
    model = FlowGenerator(**_image_settings(run) | large, seed=run.seed, device="cpu")
    begun = perf_counter()
    model.fit(components.reduce(beyond), contexts, progress=False)
    note = trained(model, begun)
    truth = _gray(Path(material, "test", "hr_img.png"))
    new = problem.simulate(truth[None], rng)
    grid = Tiles.grid(3 if run.quick else 35)
    truths, around = Tiles.of(truth, grid), Tiles.around(new[0], grid)
    first = guess(around).reshape(truths.shape)
    rng = np.random.default_rng([run.seed, 1])
    samples = np.stack(
        [
            x + components.expand(model.sample(_TILE_SAMPLES, y, rng)).reshape(-1, *x.shape)
            for x, y in zip(first, around, strict=True)
        ]
    )  # (tiles, n, 1, side, side)
    unaligned = inverse.BlurDownsample(2, 16, 4)
    tiles = {
        "bicubic, aligned": Tiles.of(problem.lift(new)[0], grid),
        "bicubic, not aligned": Tiles.of(unaligned.lift(new)[0], grid),
        "linear regression": first,
    }
    prior = images[rng.integers(len(images), size=(len(truths), _TILE_SAMPLES))]
    whole = {
        name: np.stack([Tiles.mosaic(x[:, k]) for k in range(_TILE_SAMPLES)])[None]
        for name, x in (("posterior", samples), ("prior", prior))
    }
    guesses = {name: Tiles.mosaic(x)[None] for name, x in tiles.items()}
    whole_truth = Tiles.mosaic(truths)
    yield from _scores(run, "superresolution", whole, whole_truth[None], guesses, note)
    part = (..., slice(160), slice(160))
    picture = inverse.Posterior(whole["posterior"][0][part], guesses["bicubic, aligned"][0][part])
    picture.save_picture(run.out / "posterior_superresolution.png", whole_truth[part])


def _gray(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), np.float32) / 255


@EXPERIMENTS("low-dose", kind="low dose")
@EXPERIMENTS("limited-angle", kind="limited angle")
def tomography(run: Run, kind: str) -> Iterator[Line]:
    """Ellipses of 24 x 24 pixels: few photons, or a wedge of 40 degrees missing."""
    side = 24
    rng = np.random.default_rng([run.seed, side])
    problem: inverse.Problem = (
        inverse.Radon(side, 36) + inverse.Poisson(4096, attenuation=10)
        if kind == "low dose"
        else inverse.Radon(side, 28, missing=40) + inverse.Gaussian(0.005)
    )
    train, truths = ellipses(400 if run.quick else 3000, side, rng), ellipses(40, side, rng)
    settings = _image_settings(run) | {"guess": "regression", "components": 0.99}
    name = f"tomography, {kind}"
    samples = yield from _posteriors(run, name, problem, train, truths, settings)
    if kind != "low dose":
        prior = train[rng.integers(len(train), size=samples.shape[:2])]
        for method, images in (("posterior", samples), ("prior", prior)):
            yield Line(name, method, {"sd in the wedge over outside": wedge(images, 40)})


def _posteriors(
    run: Run, name: str, problem: inverse.Problem, train: np.ndarray, truths: np.ndarray,
    settings: dict[str, Any],
) -> Generator[Line, None, np.ndarray]:  # fmt: skip
    """Learn from images, sample for each observation, and score; give the samples."""
    sampler = inverse.PosteriorFlow(problem, **settings, seed=run.seed, device="cpu")
    begun = perf_counter()
    sampler.fit(train, rng=run.seed, progress=False)
    note = trained(sampler.model, begun)
    rng = np.random.default_rng([run.seed, 1])
    seen = problem.simulate(truths, rng)
    posteriors = [sampler.sample(y, _SAMPLES, rng) for y in seen]
    samples = np.stack([posterior.samples for posterior in posteriors])
    file = name.replace(",", "").replace(" ", "_")
    posteriors[0].save_picture(run.out / f"posterior_{file}.png", truths[0])
    prior = train[rng.integers(len(train), size=(len(truths), _SAMPLES))]
    guesses = {"lift": problem.lift(seen)}
    if sampler.guess == "regression":
        guesses["linear regression"] = sampler.first_guess(seen)
    yield from _scores(run, name, {"posterior": samples, "prior": prior}, truths, guesses, note)
    of_truth = [problem.residuals(x[None], y) for x, y in zip(truths, seen, strict=True)]
    for method, residuals in (
        ("posterior", [posterior.residuals() for posterior in posteriors]), ("truth", of_truth),
    ):  # fmt: skip
        yield Line(name, method, {"residual over noise": float(np.mean(residuals))}, note)
    return samples


def _scores(
    run: Run, name: str, samples: dict[str, np.ndarray], truths: np.ndarray,
    guesses: dict[str, np.ndarray], note: str,
) -> Iterator[Line]:  # fmt: skip
    table = metrics.posterior_table(samples, truths, guesses, rng=run.seed)
    yield from (Line(name, method, scores, note) for method, scores in table.items())


def trained(model: Any, begun: float) -> str:
    """How many networks were trained, and how long that took."""
    return f"{model.n_trained} networks, {perf_counter() - begun:.0f} s of training"


def _digit_settings(run: Run) -> dict[str, Any]:
    particles, blocks, steps = (1000, 4, 200) if run.quick else (3000, 10, 500)
    return {
        "n_particles": particles, "n_projections": 64, "n_blocks": blocks, "n_steps": steps,
        "architecture": MLP(width=192, depth=2),
    }  # fmt: skip


def _image_settings(run: Run) -> dict[str, Any]:
    """Sizes for a CPU; perceptrons in place of a UNet, from noise with the moments of the data."""
    particles, steps = (300, 50) if run.quick else (3000, 450)
    return {
        "n_particles": particles, "n_projections": 128, "n_blocks": 2, "block_cap": 32,
        "n_steps": steps, "architecture": MLP(width=256, depth=2), "start": "normal",
    }  # fmt: skip
