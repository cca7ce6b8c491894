"""Posteriors of MNIST: digits of which the lowest rows are seen, and at four times the resolution.

Beside samples stand single images: the lift, the linear regression, and the same network trained
for squared error, which tells what a mean can reach.
"""

from collections.abc import Iterator

import numpy as np

from energyflow import datasets, inverse
from energyflow.models import FlowMatching

from ..runner import Experiments, Line, Run
from ..timing import on_cpu_time
from ._image_posteriors import scores, squared_error

EXPERIMENTS = Experiments()
_SHAPE = (28, 28)
_PROBLEMS = {
    "inpainting": inverse.Mask.rows(_SHAPE, 18, 28) + inverse.Gaussian(0.05),
    "superresolution": inverse.BlurDownsample(2, 8, 4) + inverse.Gaussian(0.05),
}


@EXPERIMENTS("mnist-inpainting", name="inpainting")
@EXPERIMENTS("mnist-superresolution", name="superresolution")
def mnist(run: Run, name: str, *, mnist: str = "", seconds: float = 900.0) -> Iterator[Line]:
    """Digits of 28 x 28 pixels: rows 18 to 27 are seen, or every fourth pixel of a blurred digit.

    `seconds` of one core's time for the flow, and a third of that for the network that is trained
    for squared error. Noise 0.05; 100 test digits, 30 samples of each.
    Without `mnist` the experiment is left out.
    """
    if not mnist:
        print(f"{name} of MNIST is left out: it needs --mnist")
        return
    data, problem = datasets.load(mnist), _PROBLEMS[name]
    seconds, m, n = (20.0, 4, 4) if run.quick else (seconds, 100, 30)
    rng = np.random.default_rng([run.seed, 1])
    truths = data.test[rng.permutation(len(data.test))[:m]]
    seen, pairs = problem.simulate(truths, rng), problem.simulate(data.train, rng)

    sampler = inverse.PosteriorFlow(
        problem, FlowMatching(seed=run.seed, device="cpu", sampling_steps=10)
    )
    with on_cpu_time():
        sampler.fit(data.train, pairs, rng=run.seed, budget=seconds, progress=False)
    steps = sampler.model.report.n_steps if sampler.model.report else 0
    note = f"{steps} steps in {seconds:g} CPU seconds"
    samples = sampler.sample(seen, n, rng).samples

    lifts, lift = problem.lift(pairs), problem.lift(seen)
    form = sampler.model.settings.architecture
    network = squared_error(form, [lifts], data.train - lifts, seconds / 3, run.seed, batch=64)
    regression, _ = inverse.CrossFittedRidge.fit(data.train, lifts)
    guesses = {
        "lift": lift,
        "linear regression": regression(lift).reshape(truths.shape),
        "network for squared error": lift + network(lift),
    }
    prior = data.train[rng.integers(len(data.train), size=(m, n))]
    yield from scores(
        f"{name} of MNIST", problem, truths, seen,
        {"posterior": samples, "prior": prior}, guesses, note,
    )  # fmt: skip
    picture = inverse.Posterior(samples[0], lift[0])
    picture.save_picture(run.out / f"posterior_mnist_{name}.png", truths[0])
