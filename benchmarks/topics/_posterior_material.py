"""Posteriors of a material at four times the resolution: a whole image, learned from crops.

Beside samples stand single images: bicubic interpolation, linear regression, and the same network
trained for squared error, which tells what a mean can reach.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from energyflow import inverse
from energyflow.inverse._learned.crops import crops

from ..memory import GIB, peak_resident
from ..runner import Experiments, Line, Run
from ..timing import on_cpu_time
from ._image_posteriors import scores, squared_error

EXPERIMENTS = Experiments()
_CROP, _STRIDE = 96, 4
_BATCH = 8
_AROUND = 6  # observations on each side that the regression sees
_HELD_OUT = 2  # slices
_PLACES = 2000  # of each slice, for the regression


@EXPERIMENTS("superresolution")
def superresolution(run: Run, *, material: str = "", seconds: float = 900.0) -> Iterator[Line]:
    """A test image of 600 x 600 pixels, blurred, every fourth pixel kept, noise 0.01.

    The published blur, periodic, which shifts by 6 pixels. Networks learn from crops of 96 x 96
    pixels of 28 slices, and sample the whole image. `seconds` of one core's time for the flow, and
    a third of that for the network that is trained for squared error; 30 samples.
    The picture shows a part. Without `material` the experiment is left out.
    """
    if not material:
        print("superresolution is left out: it needs --material")
        return
    blur = inverse.BlurDownsample(2, 16, _STRIDE, (0, 12), edges="wrap")
    problem, shifted = blur + inverse.Gaussian(0.01), inverse.BlurDownsample(2, 16, _STRIDE)
    seconds, n = (4.0, 2) if run.quick else (seconds, 30)
    rng = np.random.default_rng([run.seed, _CROP])
    slices = np.stack([_gray(path) for path in sorted(Path(material, "train").glob("*.png"))])
    truth = _gray(Path(material, "test", "hr_img.png"))[None]
    pairs, seen = problem.simulate(slices, rng), problem.simulate(truth, rng)
    held = rng.permutation(len(slices)) < _HELD_OUT

    sampler = inverse.PosteriorFlow(
        problem, crop=_CROP, seed=run.seed, device="cpu", sampling_steps=5
    )

    def posterior() -> np.ndarray:
        with on_cpu_time():
            sampler.fit(
                slices[~held], pairs[~held], held_out=slices[held],
                held_out_observations=pairs[held], rng=run.seed, budget=seconds, progress=False,
            )  # fmt: skip
        return sampler.sample(seen[0], n, rng).samples[None]

    samples, peak = peak_resident(posterior)
    steps = sampler.model.report.n_steps if sampler.model.report else 0
    note = f"{steps} steps in {seconds:g} CPU seconds, peak memory {peak / GIB:.2f} GiB"

    lifts, lift = problem.lift(pairs[~held]), problem.lift(seen)
    form = sampler.model.settings.architecture
    maps, differences = crops(lifts, _CROP), crops(slices[~held] - lifts, _CROP)
    network = squared_error(form, [maps], differences, seconds / 3, run.seed, _BATCH)
    guesses = {
        "bicubic, aligned": lift,
        "bicubic, not aligned": shifted.lift(seen),
        "linear regression": _regression(slices, pairs, seen, rng),
        "network for squared error": lift + network(lift),
    }
    prior = slices[rng.integers(len(slices), size=n)][None]
    yield from scores(
        "superresolution", problem, truth, seen,
        {"posterior": samples, "prior": prior}, guesses, note,
    )  # fmt: skip
    part = (..., slice(200, 360), slice(200, 360))
    picture = inverse.Posterior(samples[0][part], lift[0][part])
    picture.save_picture(run.out / "posterior_superresolution.png", truth[0][part])


def _gray(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), np.float32)[None] / 255


def _regression(
    slices: np.ndarray, pairs: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Linear regression of squares of pixels on the observations around, for images of `seen`."""
    windows, squares = [], []
    for image, observed in zip(slices, pairs, strict=True):
        places = rng.integers(observed[0].size, size=_PLACES)
        windows.append(_windows(observed[0])[places])
        squares.append(_squares(image[0])[places])
    guess, _ = inverse.CrossFittedRidge.fit(np.concatenate(squares), np.concatenate(windows))
    height, width = seen.shape[-2:]
    grid = guess(np.concatenate([_windows(y[0]) for y in seen]))
    grid = grid.reshape(len(seen), 1, height, width, _STRIDE, _STRIDE).swapaxes(3, 4)
    return grid.reshape(len(seen), 1, height * _STRIDE, width * _STRIDE)


def _windows(observed: np.ndarray) -> np.ndarray:
    """What lies around each observation (h, w) of a periodic image: (h w, side^2)."""
    side = 2 * _AROUND + 1
    padded = np.pad(observed, _AROUND, mode="wrap")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).reshape(-1, side**2)


def _squares(image: np.ndarray) -> np.ndarray:
    """The pixels that belong to each observation: (h w, t^2)."""
    rows, columns = (length // _STRIDE for length in image.shape)
    return image.reshape(rows, _STRIDE, columns, _STRIDE).swapaxes(1, 2).reshape(-1, _STRIDE**2)
