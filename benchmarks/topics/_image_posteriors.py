"""What posteriors of images share: the network for squared error beside them, and their scores."""

import copy
from collections.abc import Callable, Iterator, Sequence
from time import process_time

import numpy as np
import torch
from torch import nn

from energyflow import inverse, metrics
from energyflow.models import UNet

from ..runner import Line

_LEAST_SD = 0.01  # of a pixel that is uncertain
_RATE, _AVERAGE = 2e-3, 0.999
Predict = Callable[..., np.ndarray]


def scores(
    case: str, problem: inverse.Problem, truths: np.ndarray, seen: np.ndarray,
    samples: dict[str, np.ndarray], guesses: dict[str, np.ndarray], note: str,
) -> Iterator[Line]:  # fmt: skip
    """Of samples (m, n, *image), one of them called posterior, beside single images (m, *image).

    truths, seen : the true images and their observations (m, ...).
    """
    for method, values in metrics.posterior_table(samples, truths, guesses).items():
        more = _of_uncertain(samples[method], truths) if method == "posterior" else {}
        yield Line(case, method, values | more, note)
    for method, images in (("posterior", samples["posterior"]), ("truth", truths[:, None])):
        over = [problem.residuals(x, y) for x, y in zip(images, seen, strict=True)]
        yield Line(case, method, {"residual over noise": float(np.mean(over))}, note)


def _of_uncertain(samples: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Coverage where pixels are uncertain, and whether sd and error go together.

    Beside it what an exact posterior would have if it were continuous, and the coverage of each of
    the samples by the others, which also holds where pixels are likely to be black.
    """
    n = samples.shape[1]
    sd, error = samples.std(axis=1, ddof=1), np.abs(samples.mean(axis=1) - truths)

    def covered(samples: np.ndarray, truths: np.ndarray) -> float:
        low, high = np.quantile(samples, (0.05, 0.95), axis=1)
        uncertain = samples.std(axis=1, ddof=1) > _LEAST_SD
        return float(((low <= truths) & (truths <= high))[uncertain].mean())

    own = [covered(np.delete(samples, i, axis=1), samples[:, i]) for i in range(n)]
    return {
        "coverage of 90 % of uncertain pixels": covered(samples, truths),
        "coverage of an exact posterior": 0.9 * (n - 1) / (n + 1),  # interpolated
        "coverage of samples by the others": float(np.mean(own)),
        "correlation of sd and error": float(np.corrcoef(sd.ravel(), error.ravel())[0, 1]),
    }


def squared_error(
    form: UNet, maps: Sequence[np.ndarray], differences: np.ndarray, seconds: float, seed: int,
    batch: int,
) -> Predict:  # fmt: skip
    """The network of a flow, from maps such as lifts to differences, after so many CPU seconds of
    training for squared error.
    """
    torch.manual_seed(seed)
    unit = differences.std()
    network = form.build(differences.shape[1:], [m.shape[1:] for m in maps[1:]])
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    rng, start, step = np.random.default_rng(seed), process_time(), 0
    inputs, target = _tensors(*maps), torch.from_numpy(np.asarray(differences / unit, np.float32))
    while (spent := process_time() - start) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, 5 * (1 - spent / seconds))
        rows = torch.from_numpy(rng.integers(len(target), size=batch))
        loss = (network(*(v[rows] for v in inputs)) - target[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        with torch.no_grad():
            decay = min(_AVERAGE, (1 + step) / (10 + step))
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def predict(*maps: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(unit * average(*_tensors(*maps)).numpy())

    return predict


def _tensors(*maps: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(v, np.float32)) for v in maps]
