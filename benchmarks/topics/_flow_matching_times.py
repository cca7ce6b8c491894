"""What couplings cost beside the network's step: alone, and in training."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import torch

from energyflow.models import MLP, FlowMatching
from energyflow.models.flow_matching.batches import Batch, Batches
from energyflow.models.flow_matching.velocity import Velocity, error

from ..runner import Experiments, Line, Run
from ._mixtures import Mixture

EXPERIMENTS = Experiments()
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
AT_ONCE = (128, 256)  # how many are coupled; beside the whole batch
WHOLE = {"ot": 1024, "conditional-ot": 4096}  # up to which batch
COUPLINGS = ("none", "ot", "conditional-ot")
ROUNDS, STEPS = 5, 10
BETA = 4.0  # larger ones are found sooner
ALONE, TRAINING = "CPU time over that of a network step", "training step over that without coupling"
SMALL = MLP(width=128, depth=2)  # the network used for the mixtures


@EXPERIMENTS("times")
def times(run: Run) -> Iterator[Line]:
    """CPU ms of a coupling over those of the network's step, and a training step over that without.

    Of the mixture, the network of the preset "toy", on one thread. The first is for one thread too,
    so that below 1 one thread in the background keeps up; the second is by the clock, with as many
    threads in the background as there are by default.
    """
    data, y = _pairs(run.seed)
    for n in SIZES[:2] if run.quick else SIZES:

        def batches(coupling: str, size: int | None, n: int = n) -> Batches:
            settings = FlowMatching.presets["toy"].settings
            changes = {"batch_size": n, "coupling": coupling, "coupling_size": size, "beta": BETA}
            chosen = replace(settings, **changes)
            return Batches(data, y, chosen, kept=y, device=torch.device("cpu"))

        plain = batches("none", n)
        alone = _least(partial(_network(), plain(0)))
        drawing = _least(partial(plain._draw, 0))
        larger = _least(partial(_network(MLP()), plain(0)))
        at = f"at {n}"
        yield Line(ALONE, "network step, CPU ms", {at: 1e3 * alone})
        yield Line(ALONE, "step of the default network", {at: larger / alone})
        for coupling in COUPLINGS[1:]:
            for size in sorted({*AT_ONCE, n}):
                if size <= WHOLE[coupling]:
                    shared = max(1, size // n)
                    took = _least(partial(batches(coupling, size)._draw, 0)) / shared - drawing
                    name = f"{coupling}, {'whole' if size == n else f'{size} at once'}"
                    yield Line(ALONE, name, {at: took / alone})
        least = _training({c: batches(c, None) for c in COUPLINGS})
        for coupling in COUPLINGS[1:]:
            yield Line(TRAINING, coupling, {at: least[coupling] / least["none"]})


def _pairs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    task = Mixture("mixture", seed)
    x = task.prior(10_000, rng)
    y = task.diagonal * x + 0.1 * rng.normal(size=x.shape)
    return tuple(
        torch.from_numpy(((v - v.mean(0)) / np.sqrt(np.var(v))).astype(np.float32)) for v in (x, y)
    )


def _network(form: MLP = SMALL) -> Callable[[Batch], None]:
    """Forward, backward and Adam."""
    network = form.build((5,), [(5,), (1,)])
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        error(Velocity(network, masks=False), batch).backward()
        optimizer.step()

    return step


def _training(sources: dict[str, Batches]) -> dict[str, float]:
    """The least seconds a step of some rounds, in turns, so that other work meets all alike."""
    least = dict.fromkeys(sources, np.inf)
    networks = {name: _network() for name in sources}
    for turn in range(ROUNDS):
        for name, source in sources.items():
            first = 2 * turn * STEPS
            with source.until(first + 2 * STEPS):
                for k in range(2 * STEPS):
                    if k == STEPS:  # what was made ahead by then is used up as fast as it is made
                        begun = perf_counter()
                    networks[name](source(first + k))
                least[name] = min(least[name], (perf_counter() - begun) / STEPS)
    return least


def _least(work: Callable[[], Any]) -> float:
    """The least seconds of this thread, of some calls."""
    taken = []
    for _ in range(STEPS):
        begun = thread_time()
        work()
        taken.append(thread_time() - begun)
    return min(taken)
