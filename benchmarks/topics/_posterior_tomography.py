"""Posteriors of tomography: ellipses seen with few photons, or without a wedge of angles.

Beside samples stand single images: filtered back-projection, linear regression, and the same
network trained for squared error, which tells what a mean can reach.
"""

from collections.abc import Iterator

import numpy as np

from energyflow import inverse
from energyflow.models import UNet

from ..runner import Experiments, Line, Run
from ..timing import on_cpu_time
from ._image_posteriors import scores, squared_error
from ._phantoms import ellipses, wedge

EXPERIMENTS = Experiments()
_SIDE, _MISSING = 64, 40
_BATCH = 16
_NETWORK = UNet(channels=32, multipliers=(1, 2), residual_blocks=1, patch=2)


@EXPERIMENTS("low-dose", kind="low dose")
@EXPERIMENTS("limited-angle", kind="limited angle")
def tomography(run: Run, kind: str, *, seconds: float = 900.0) -> Iterator[Line]:
    """Ellipses of 64 x 64 pixels: few photons, or a wedge of 40 degrees missing.

    `seconds` of one core's time for the flow, and a third of that for the network that is trained
    for squared error; both begin with the linear regression of 2000 bodies. 40 other bodies, 30
    samples of each.
    """
    rng = np.random.default_rng([run.seed, _SIDE])
    problem: inverse.Problem = (
        inverse.Radon(_SIDE, 60) + inverse.Poisson(4096, attenuation=10)
        if kind == "low dose"
        else inverse.Radon(_SIDE, 56, missing=_MISSING) + inverse.Gaussian(0.005)
    )
    seconds, count, m, n = (4.0, 200, 4, 4) if run.quick else (seconds, 2000, 40, 30)
    train, truths = ellipses(count, _SIDE, rng), ellipses(m, _SIDE, rng)
    pairs, seen = problem.simulate(train, rng), problem.simulate(truths, rng)

    sampler = inverse.PosteriorFlow(
        problem, guess="regression", seed=run.seed, device="cpu", sampling_steps=10,
        architecture=_NETWORK,
    )  # fmt: skip
    with on_cpu_time():
        sampler.fit(train, pairs, rng=run.seed, budget=seconds, progress=False)
    steps = sampler.model.report.n_steps if sampler.model.report else 0
    note = f"{steps} steps in {seconds:g} CPU seconds"
    samples = sampler.sample(seen, n, rng).samples

    lifts, lift = problem.lift(pairs), problem.lift(seen)
    _, left = inverse.CrossFittedRidge.fit(train - lifts, lifts)
    guess = sampler.first_guess(seen)
    network = squared_error(_NETWORK, [lifts, train - left], left, seconds / 3, run.seed, _BATCH)
    guesses = {
        "lift": lift,
        "linear regression": guess,
        "network for squared error": guess + network(lift, guess),
    }
    prior = train[rng.integers(len(train), size=(m, n))]
    case, every = f"tomography, {kind}", {"posterior": samples, "prior": prior}
    yield from scores(case, problem, truths, seen, every, guesses, note)
    if kind == "limited angle":
        for method, images in every.items():
            yield Line(case, method, {"sd in the wedge over outside": wedge(images, _MISSING)})
    picture = inverse.Posterior(samples[0], lift[0])
    name = kind.replace(" ", "_")
    picture.save_picture(run.out / f"posterior_tomography_{name}.png", truths[0])
