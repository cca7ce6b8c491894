"""What couplings cost beside the network's step: alone, and in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import torch

from energyflow.models import MLP, FlowMatching
from energyflow.models.flow_matching.batches import Batch, Batches
from energyflow.models.flow_matching.velocity import Velocity, error

from .posterior_known import Mixture
from .rows import Row

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
AT_ONCE = (128, 256)  # how many are coupled; beside the whole batch
WHOLE = {"ot": 1024, "conditional-ot": 4096}  # up to which batch
COUPLINGS = ("none", "ot", "conditional-ot")
ROUNDS = 5
BETA = 4.0  # larger ones are found sooner
ALONE, TRAINING = "CPU time over that of a network step", "training step over that without coupling"
SMALL = MLP(width=128, depth=2)  # the network used for the mixtures


def times(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """CPU ms of a coupling over those of the network's step, and a training step over that without.

    Of the mixture, the network of the preset "toy", on one thread. The first is for one thread too,
    so that below 1 one thread in the background keeps up; the second is by the clock, with as many
    threads in the background as there are by default.
    """
    data, y = _pairs(seed)
    for n in SIZES[:2] if quick else SIZES:
        steps = 10

        def batches(coupling: str, size: int | None, n: int = n) -> Batches:
            settings = FlowMatching.presets["toy"].settings
            changes = {"batch_size": n, "coupling": coupling, "coupling_size": size, "beta": BETA}
            chosen = replace(settings, **changes)
            return Batches(data, y, chosen, kept=y, device=torch.device("cpu"))

        plain = batches("none", n)
        alone = _least(partial(_network(), plain(0)), steps)
        drawing = _least(partial(plain._draw, 0), steps)
        yield Row(ALONE, "network step, CPU ms", seed, f"at {n}", 1e3 * alone)
        larger = _least(partial(_network(MLP()), plain(0)), steps)
        yield Row(ALONE, "step of the default network", seed, f"at {n}", larger / alone)
        for coupling in COUPLINGS[1:]:
            for size in sorted({*AT_ONCE, n}):
                if size > WHOLE[coupling]:
                    continue
                source = batches(coupling, size)
                shared = max(1, size // n)
                took = _least(partial(source._draw, 0), steps) / shared - drawing
                name = f"{coupling}, {'whole' if size == n else f'{size} at once'}"
                yield Row(ALONE, name, seed, f"at {n}", took / alone)
        found = _training({c: batches(c, None) for c in COUPLINGS}, steps)
        for coupling in COUPLINGS[1:]:
            ratio = found[coupling] / found["none"]
            yield Row(TRAINING, coupling, seed, f"at {n}", ratio)


def _pairs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    task = Mixture(0.1, 0.1, seed)
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


def _training(sources: dict[str, Batches], steps: int) -> dict[str, float]:
    """The least seconds a step of some rounds, in turns, so that other work meets all alike."""
    least = dict.fromkeys(sources, np.inf)
    networks = {name: _network() for name in sources}
    for turn in range(ROUNDS):
        for name, source in sources.items():
            first = 2 * turn * steps
            with source.until(first + 2 * steps):
                for k in range(2 * steps):
                    if k == steps:  # what was made ahead by then is used up as fast as it is made
                        begun = perf_counter()
                    networks[name](source(first + k))
                least[name] = min(least[name], (perf_counter() - begun) / steps)
    return least


def _least(work: Callable[[], Any], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        begun = thread_time()
        work()
        found.append(thread_time() - begun)
    return min(found)
