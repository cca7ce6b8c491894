"""Posteriors of MNIST: digits of which the lowest rows are seen, and at four times the resolution.

Beside samples stand single images: the lift, the linear regression, and the same network trained
for squared error, which tells what a mean can reach.
"""

import copy
from collections.abc import Callable, Iterator
from time import process_time

import numpy as np
import torch
from torch import nn

from energyflow import datasets, inverse, metrics
from energyflow.models import FlowMatching, UNet

from ..runner import Experiments, Line, Run
from ..timing import on_cpu_time

EXPERIMENTS = Experiments()
_SHAPE = (28, 28)
_PROBLEMS = {
    "inpainting": inverse.Mask.rows(_SHAPE, 18, 28) + inverse.Gaussian(0.05),
    "superresolution": inverse.BlurDownsample(2, 8, 4) + inverse.Gaussian(0.05),
}
_LEAST_SD = 0.01  # of a pixel that is uncertain
_BATCH, _RATE, _AVERAGE = 64, 2e-3, 0.999


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
    network = _squared_error(form, lifts, data.train - lifts, seconds / 3, run.seed)
    regression, _ = inverse.CrossFittedRidge.fit(data.train, lifts)
    guesses = {
        "lift": lift,
        "linear regression": regression(lift).reshape(truths.shape),
        "network for squared error": lift + network(lift),
    }
    prior = data.train[rng.integers(len(data.train), size=(m, n))]
    case = f"{name} of MNIST"
    table = metrics.posterior_table({"posterior": samples, "prior": prior}, truths, guesses)
    for method, scores in table.items():
        yield Line(case, method, scores | _of_uncertain(samples, truths, method), note)
    for method, images in (("posterior", samples), ("truth", truths[:, None])):
        over = [problem.residuals(x, y) for x, y in zip(images, seen, strict=True)]
        yield Line(case, method, {"residual over noise": float(np.mean(over))}, note)
    picture = inverse.Posterior(samples[0], lift[0])
    picture.save_picture(run.out / f"posterior_mnist_{name}.png", truths[0])


def _of_uncertain(samples: np.ndarray, truths: np.ndarray, method: str) -> dict[str, float]:
    """Coverage where pixels are uncertain, and whether sd and error go together."""
    if method != "posterior":
        return {}
    low, high = np.quantile(samples, (0.05, 0.95), axis=1)
    sd, error = samples.std(axis=1, ddof=1), np.abs(samples.mean(axis=1) - truths)
    uncertain = sd > _LEAST_SD
    inside = ((low <= truths) & (truths <= high))[uncertain].mean()
    n = samples.shape[1]
    return {
        "coverage of 90 % of uncertain pixels": float(inside),
        "coverage of an exact posterior": 0.9 * (n - 1) / (n + 1),  # interpolated
        "correlation of sd and error": float(np.corrcoef(sd.ravel(), error.ravel())[0, 1]),
    }


def _squared_error(
    form: UNet, lifts: np.ndarray, differences: np.ndarray, seconds: float, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The network of the flow, from lifts to differences, after so many CPU seconds of training."""
    torch.manual_seed(seed)
    network = form.build(differences.shape[1:], [])
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    rng, start, step = np.random.default_rng(seed), process_time(), 0
    x, y = (torch.from_numpy(np.asarray(v, np.float32)) for v in (lifts, differences))
    while (spent := process_time() - start) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, 5 * (1 - spent / seconds))
        rows = torch.from_numpy(rng.integers(len(x), size=_BATCH))
        loss = (network(x[rows]) - y[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            decay = min(_AVERAGE, (1 + step) / (10 + step))
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return average(torch.from_numpy(np.asarray(images, np.float32))).numpy()

    return predict
