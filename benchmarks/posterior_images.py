"""Posteriors of images: digits half seen, a material at four times the resolution, tomography.

Posteriors are not known here: samples are scored beside the lifted observation and the prior.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from energyflow import datasets, inverse, metrics
from energyflow.models import MLP, FlowGenerator, save_grid

from .rows import Row

_SAMPLES = 50
_TILE_SAMPLES = 300  # of each tile of the material
_TILE = 16  # pixels, those that one observation of the material sees
_CONTEXT = 6  # observations on each side


def inpainting(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Digits of 8 x 8 pixels, of which the lowest three rows are seen."""
    digits = datasets.load("digits")
    problem = inverse.Mask.rows((8, 8), 5, 8) + inverse.Gaussian(0.05)
    truths = digits.test[: 10 if quick else 100]
    settings = _digit_settings(quick)
    yield from _posteriors("inpainting", problem, digits.train, truths, settings, seed, out)


def classes(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Digits for each label: samples beside real ones, and whether a classifier agrees."""
    digits = datasets.load("digits")
    settings = _digit_settings(quick)
    model = FlowGenerator(**settings, seed=seed, device="cpu")
    begun = perf_counter()
    model.fit(digits.train, digits.train_labels, progress=False)
    note = f"{model.n_trained} networks, {perf_counter() - begun:.0f} s of training"
    from sklearn.neighbors import KNeighborsClassifier

    labels = np.repeat(np.arange(10), 10)
    save_grid(out / "posterior_classes.png", model.sample(len(labels), labels, rng=seed))
    nearest = KNeighborsClassifier(3).fit(_flat(digits.train), digits.train_labels)
    asked = np.repeat(np.arange(10), 30)
    made = nearest.predict(_flat(np.asarray(model.sample(len(asked), asked, rng=seed + 1))))
    real = nearest.predict(_flat(digits.test))
    for method, share in (
        ("class-conditional flow", np.mean(made == asked)),
        ("real digits", np.mean(real == digits.test_labels)),
    ):
        yield Row("digits by class", method, seed, "3 neighbours agree", float(share), note)


def superresolution(seed: int, quick: bool, out: Path, material: Path) -> Iterator[Row]:
    """Crops of a material, blurred, every fourth pixel kept, noise 0.01.

    Whole slices are observed, with the published blur, which shifts by 6 pixels. Cut down to a
    CPU, tiles of 16 x 16 pixels are learned from the 13 x 13 observations around them, as the
    principal components beyond their linear regression; 560 x 560 pixels of the test image are
    sampled tile by tile, and scored as one image. The picture shows a part.
    """
    problem = inverse.BlurDownsample(2, 16, 4, (0, 12)) + inverse.Gaussian(0.01)
    rng = np.random.default_rng([seed, _TILE])
    slices = np.stack([_gray(path) for path in sorted((material / "train").glob("*.png"))])
    seen = problem.simulate(slices, rng)
    count = 1000 if quick else 20_000
    corners = rng.integers(8, seen.shape[1] - 12, size=(count, 2))
    which = rng.integers(len(slices), size=count)
    pairs = [
        (_tile(slices[k], i, j), _around(seen[k], i, j))
        for k, (i, j) in zip(which, corners, strict=True)
    ]
    images, contexts = (np.stack(part) for part in zip(*pairs, strict=True))
    guess, beyond = inverse.CrossFittedRidge.fit(images, contexts)
    components = inverse.WhitenedPCA.of(beyond, 0.99)
    settings = _image_settings(quick)
    if not quick:
        settings |= {"n_particles": 8000, "network_steps": 1200}
    model = FlowGenerator(**settings, seed=seed, device="cpu")
    begun = perf_counter()
    model.fit(components.reduce(beyond), contexts, progress=False)
    note = f"{model.n_trained} networks, {perf_counter() - begun:.0f} s of training"

    truth = _gray(material / "test" / "hr_img.png")
    new = problem.simulate(truth[None], rng)
    grid = [(i, j) for i in _grid(quick) for j in _grid(quick)]
    truths = np.stack([_tile(truth, i, j) for i, j in grid])
    around = np.stack([_around(new[0], i, j) for i, j in grid])
    first = guess(around).reshape(truths.shape)
    rng = np.random.default_rng([seed, 1])
    samples = np.stack(
        [
            x
            + components.expand(model.sample(_TILE_SAMPLES, y, rng)).reshape(
                _TILE_SAMPLES, *x.shape
            )
            for x, y in zip(first, around, strict=True)
        ]
    )  # (tiles, n, 1, side, side)
    unaligned = inverse.BlurDownsample(2, 16, 4)
    guesses = {
        "bicubic, aligned": problem.lift(new)[0],
        "bicubic, not aligned": unaligned.lift(new)[0],
    }
    tiles = {name: np.stack([_tile(x, i, j) for i, j in grid]) for name, x in guesses.items()}
    tiles["linear regression"] = first
    prior = images[rng.integers(len(images), size=(len(truths), _TILE_SAMPLES))]
    whole = {
        name: np.stack([_mosaic(x[:, k]) for k in range(_TILE_SAMPLES)])[None]
        for name, x in (("posterior", samples), ("prior", prior))
    }
    together = {name: _mosaic(x)[None] for name, x in tiles.items()}
    yield from _scores("superresolution", whole, _mosaic(truths)[None], together, seed, note)
    shown = (..., slice(160), slice(160))
    picture = inverse.Posterior(
        whole["posterior"][0][shown], together["bicubic, aligned"][0][shown]
    )
    picture.save_picture(out / "posterior_superresolution.png", _mosaic(truths)[shown])


def tomography(kind: str, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Ellipses of 24 x 24 pixels: few photons, or a wedge of 40 degrees missing."""
    side = 24
    rng = np.random.default_rng([seed, side])
    problem: inverse.Problem = (
        inverse.Radon(side, 36) + inverse.Poisson(4096, attenuation=10)
        if kind == "low dose"
        else inverse.Radon(side, 28, missing=40) + inverse.Gaussian(0.005)
    )
    train, truths = ellipses(400 if quick else 3000, side, rng), ellipses(40, side, rng)
    settings = _image_settings(quick) | {"guess": "regression", "components": 0.99}
    name = f"tomography, {kind}"
    samples = yield from _posteriors(name, problem, train, truths, settings, seed, out)
    if kind != "low dose":
        prior = train[rng.integers(len(train), size=samples.shape[:2])]
        for method, found in (("posterior", samples), ("prior", prior)):
            yield Row(name, method, seed, "sd in the wedge over outside", _wedge(found, 40))


def _wedge(samples: np.ndarray, missing: float) -> float:
    """Root mean squared sd of Fourier coefficients that no line is across, over that of others.

    The line at angle t and offset s is x cos t - y sin t = s, for columns x and rows y, and sees
    the frequencies along (cos t, -sin t). samples (m, n, 1, side, side).
    """
    side = samples.shape[-1]
    spread = np.fft.fft2(samples[:, :, 0]).std(axis=1)  # (m, side, side)
    power = (spread**2).mean(axis=0)
    k = np.fft.fftfreq(side, 1 / side)
    rows, columns = np.meshgrid(k, k, indexing="ij")
    angle = np.degrees(np.arctan2(-rows, columns)) % 180
    known = (np.hypot(rows, columns) >= 2) & (np.hypot(rows, columns) <= side / 4)
    inside = known & (angle > 180 - missing)
    return float(np.sqrt(power[inside].mean() / power[known & ~inside].mean()))


def ellipses(n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Images (n, 1, side, side) of 3 to 8 ellipses on an ellipse, values 0 to 1, in the circle."""
    places = (np.arange(side) - side // 2) / (side // 2)
    y, x = np.meshgrid(places, places, indexing="ij")

    def ellipse(centre: np.ndarray, axes: np.ndarray, turn: float) -> np.ndarray:
        u = np.cos(turn) * (x - centre[0]) + np.sin(turn) * (y - centre[1])
        v = np.cos(turn) * (y - centre[1]) - np.sin(turn) * (x - centre[0])
        distance = np.sqrt((u / axes[0]) ** 2 + (v / axes[1]) ** 2)
        return 1 / (1 + np.exp(np.clip((distance - 1) * axes.min() * side, -30, 30)))

    images = np.empty((n, 1, side, side), np.float32)
    for image in images:
        body = ellipse(rng.normal(0, 0.05, 2), rng.uniform(0.55, 0.8, 2), rng.uniform(0, np.pi))
        content = 0.4 * body
        for _ in range(rng.integers(3, 9)):
            part = ellipse(
                rng.uniform(-0.45, 0.45, 2), rng.uniform(0.06, 0.3, 2), rng.uniform(0, np.pi)
            )
            content += rng.uniform(-0.3, 0.4) * part * body
        image[0] = content.clip(0, 1) * (x**2 + y**2 <= 1)
    return images


def _posteriors(
    name: str, problem: inverse.Problem, train: np.ndarray, truths: np.ndarray,
    settings: dict[str, Any], seed: int, out: Path,
) -> Generator[Row, None, np.ndarray]:  # fmt: skip
    """Learn from images, sample for each observation, and score; give the samples."""
    sampler = inverse.PosteriorFlow(problem, **settings, seed=seed, device="cpu")
    begun = perf_counter()
    sampler.fit(train, rng=seed, progress=False)
    note = f"{sampler.model.n_trained} networks, {perf_counter() - begun:.0f} s of training"
    rng = np.random.default_rng([seed, 1])
    seen = problem.simulate(truths, rng)
    found = [sampler.sample(y, _SAMPLES, rng) for y in seen]
    samples = np.stack([posterior.samples for posterior in found])
    slug = name.replace(",", "").replace(" ", "_")
    found[0].save_picture(out / f"posterior_{slug}.png", truths[0])
    prior = train[rng.integers(len(train), size=(len(truths), _SAMPLES))]
    guesses = {"lift": problem.lift(seen)}
    if sampler.guess == "regression":
        guesses["linear regression"] = sampler.first_guess(seen)
    yield from _scores(name, {"posterior": samples, "prior": prior}, truths, guesses, seed, note)
    residuals = np.mean([posterior.residuals() for posterior in found])
    yield Row(name, "posterior", seed, "residual over noise", float(residuals), note)
    of_truth = np.mean([problem.residuals(x[None], y) for x, y in zip(truths, seen, strict=True)])
    yield Row(name, "truth", seed, "residual over noise", float(of_truth), note)
    return samples


def _scores(
    name: str, samples: dict[str, np.ndarray], truths: np.ndarray,
    guesses: dict[str, np.ndarray], seed: int, note: str,
) -> Iterator[Row]:  # fmt: skip
    table = metrics.posterior_table(samples, truths, guesses, rng=seed)
    for method, scores in table.items():
        for measure, value in scores.items():
            yield Row(name, method, seed, measure, value, note)


def _digit_settings(quick: bool) -> dict[str, Any]:
    return {
        "n_particles": 1000 if quick else 3000, "n_projections": 64, "n_blocks": 4 if quick else 10,
        "network_steps": 200 if quick else 500, "architecture": MLP(width=192, depth=2),
    }  # fmt: skip


def _image_settings(quick: bool) -> dict[str, Any]:
    """Sizes for a CPU; perceptrons in place of a UNet, from noise with the moments of the data."""
    return {
        "n_particles": 300 if quick else 3000, "n_projections": 128, "n_blocks": 2, "block_cap": 32,
        "network_steps": 50 if quick else 450, "architecture": MLP(width=256, depth=2),
        "start": "normal",
    }  # fmt: skip


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _gray(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), np.float32) / 255


def _grid(quick: bool) -> range:
    """Corners of neighbouring tiles, in observations: all whose context lies in the image."""
    tiles = 3 if quick else 35
    return range(_CONTEXT, _CONTEXT + 4 * tiles, 4)


def _tile(image: np.ndarray, i: int, j: int) -> np.ndarray:
    """The tile (1, side, side) in the middle of what observation (i, j) sees."""
    return image[None, 4 * i : 4 * i + _TILE, 4 * j : 4 * j + _TILE]


def _around(seen: np.ndarray, i: int, j: int) -> np.ndarray:
    """Observations around (i, j), as a vector."""
    return seen[i - _CONTEXT : i + _CONTEXT + 1, j - _CONTEXT : j + _CONTEXT + 1].ravel()


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Neighbouring tiles (tiles, 1, side, side) as one image (1, H, W)."""
    count, side = round(len(tiles) ** 0.5), tiles.shape[-1]
    square = tiles.reshape(count, count, side, side).transpose(0, 2, 1, 3)
    return square.reshape(1, count * side, count * side)


EXPERIMENTS: dict[str, Any] = {
    "inpainting": inpainting,
    "classes": classes,
    "superresolution": superresolution,
    "low-dose": partial(tomography, "low dose"),
    "limited-angle": partial(tomography, "limited angle"),
}
