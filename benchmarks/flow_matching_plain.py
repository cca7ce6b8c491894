"""Our training beside a plain loop with the paper's network and optimiser, over CPU time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch
from torch import Tensor, nn

from energyflow._core import pictures as _pictures
from energyflow.models import FlowMatching
from energyflow.models.flow_matching.solver import OdeSolver
from energyflow.models.flow_matching.velocity import Velocity, flowed

from .flow_matching_posteriors import SAMPLES, Draw, Posteriors
from .rows import Row, read

PLAIN, OURS = "mixture: plain loop", "mixture: FlowMatching, none"
SEEN = 20  # observations
EPOCHS = (25, 50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
STEPS = (125, 250, 500, 1000, 2000, 3000)
SOLVERS = {"20 midpoint steps": ("midpoint", 20), "10 Euler steps": ("euler", 10)}
VALUE = "Sinkhorn divergence, 20 midpoint steps"
BATCH = 200


class PlainNetwork(nn.Module):
    """Three hidden layers of 256 units; it sees the point, the observation and the time."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for first, last in ((11, 256), (256, 256), (256, 256)):
            layers += [nn.Linear(first, last), nn.LeakyReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(256, 5))

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        found: Tensor = self.layers(torch.cat([x, condition, time], 1))
        return found


def plain_loop(
    network: PlainNetwork, x: np.ndarray, y: np.ndarray, n_epochs: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Adam at 1e-4, 50 batches of 200 an epoch; epochs so far and their CPU seconds."""
    pairs = torch.from_numpy(np.hstack([x, y]))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = torch.utils.data.DataLoader(pairs, BATCH, shuffle=True, generator=generator)
    seconds = 0.0
    for epoch in range(1, n_epochs + 1):
        begun = process_time()
        for batch in loader:
            x_1, seen = batch[:, :5], batch[:, 5:]
            z = torch.randn(x_1.shape, generator=generator)
            t = torch.rand(len(batch), 1, generator=generator)
            found = network(z + t * (x_1 - z), seen, t)
            optimizer.zero_grad()
            (found - (x_1 - z)).square().sum().backward()
            optimizer.step()
        seconds += process_time() - begun
        yield epoch, seconds


def plain(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """The divergence of the plain loop over its CPU seconds."""
    work = Posteriors("mixture", seed, 2 if quick else SEEN)
    torch.manual_seed(seed)
    network = PlainNetwork()
    epochs = (1, 2) if quick else EPOCHS
    for epoch, seconds in plain_loop(network, work.x, work.y, epochs[-1], seed):
        if epoch in epochs:
            method = f"{epoch} epochs"
            yield Row(PLAIN, method, seed, "CPU s", seconds)
            for name, (solver, steps) in SOLVERS.items():
                value = work.scores(_drawing(network, solver, steps))["Sinkhorn divergence"]
                yield Row(PLAIN, method, seed, f"Sinkhorn divergence, {name}", value)


def beside_plain(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """The divergence of whole trainings of ours, and the share of the plain loop's time to reach
    its last value; its rows must be there.
    """
    work = Posteriors("mixture", seed, 2 if quick else SEEN)
    work.fitted(seed, 10, coupling="none")  # what is compiled once is no part of training
    found: dict[float, float] = {}
    for n_steps in (50, 100) if quick else STEPS:
        model, seconds = work.fitted(seed, n_steps, coupling="none")
        method = f"{n_steps} steps"
        yield Row(OURS, method, seed, "CPU s", seconds)
        for name, (solver, steps) in SOLVERS.items():
            draw = partial(_sampled, model, solver, steps)
            value = work.scores(draw)["Sinkhorn divergence"]
            yield Row(OURS, method, seed, f"Sinkhorn divergence, {name}", value)
            if name in VALUE:
                found[seconds] = value
    rows = [r for r in read(out / "flow_matching.csv") if (r.experiment, r.seed) == (PLAIN, seed)]
    took, reached = ([r.value for r in rows if r.measure == m][-1] for m in ("CPU s", VALUE))
    within = min((s for s, value in found.items() if value <= reached), default=np.inf)
    yield Row(OURS, "share of the plain loop's time", seed, "CPU s", within / took)


def _drawing(network: PlainNetwork, solver: str, n_steps: int) -> Draw:
    def draw(y: np.ndarray) -> np.ndarray:
        z = torch.randn(SAMPLES, 5, generator=torch.Generator().manual_seed(1))
        given = torch.from_numpy(np.tile(y.astype(np.float32), (SAMPLES, 1)))
        velocity = Velocity(network, masks=False)
        return flowed(velocity, z, given, OdeSolver(solver, n_steps)).numpy()

    return draw


def _sampled(model: FlowMatching, solver: str, n_steps: int, y: np.ndarray) -> np.ndarray:
    return np.asarray(
        model.sample(SAMPLES, y.astype(np.float32), 1, solver=solver, n_steps=n_steps)
    )


def draw_course(rows: list[Row], path: Path) -> None:
    """The divergence over CPU seconds, a line for each seed."""
    figure = _pictures._figure(5.6, 3.6)
    axes = figure.add_subplot()
    for colour, name in ((_pictures.ASIDE, PLAIN), (_pictures.REACHED, OURS)):
        for k, seed in enumerate(sorted({r.seed for r in rows if r.experiment == name})):
            own = [r for r in rows if (r.experiment, r.seed) == (name, seed)]
            values = [r.value for r in own if r.measure == VALUE]
            seconds = [r.value for r in own if r.measure == "CPU s"][: len(values)]
            axes.plot(seconds, values, "o-", color=colour, label=None if k else name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("CPU seconds of training")
    axes.set_ylabel("Sinkhorn divergence")
    axes.legend(frameon=False)
    _pictures._save(figure, path)
