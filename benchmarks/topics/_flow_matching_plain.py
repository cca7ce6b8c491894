"""Our training beside a plain loop with the paper's network and optimiser, over CPU time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from energyflow.models.flow_matching.solver import OdeSolver
from energyflow.models.flow_matching.velocity import Velocity, flowed

from ..pictures import ASIDE, REACHED, curves, figure
from ..rows import Line, Row, read
from ..runner import Experiments, Run
from ..timing import cpu_seconds
from ._flow_matching_posteriors import SAMPLES, Posteriors

EXPERIMENTS = Experiments()
PLAIN, OURS = "mixture: plain loop", "mixture: FlowMatching, none"
OBSERVATIONS = 20
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
        velocity: Tensor = self.layers(torch.cat([x, condition, time], 1))
        return velocity


def plain_loop(
    network: PlainNetwork, x: np.ndarray, y: np.ndarray, n_epochs: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Adam at 1e-4, 50 batches of 200 an epoch; epochs so far and their CPU seconds."""
    pairs = torch.from_numpy(np.hstack([x, y]))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = torch.utils.data.DataLoader(pairs, BATCH, shuffle=True, generator=generator)

    def trained() -> None:
        for batch in loader:
            x_1, observed = batch[:, :5], batch[:, 5:]
            z = torch.randn(x_1.shape, generator=generator)
            t = torch.rand(len(batch), 1, generator=generator)
            velocity = network(z + t * (x_1 - z), observed, t)
            optimizer.zero_grad()
            (velocity - (x_1 - z)).square().sum().backward()
            optimizer.step()

    seconds = 0.0
    for epoch in range(1, n_epochs + 1):
        seconds += cpu_seconds(trained)[1]
        yield epoch, seconds


@EXPERIMENTS("plain")
def plain(run: Run) -> Iterator[Line]:
    """The divergence of the plain loop over its CPU seconds."""
    work = Posteriors("mixture", run.seed, 2 if run.quick else OBSERVATIONS)
    torch.manual_seed(run.seed)
    network = PlainNetwork()
    epochs = (1, 2) if run.quick else EPOCHS

    def drawn(y: np.ndarray, solver: str, n_steps: int) -> np.ndarray:
        z = torch.randn(SAMPLES, 5, generator=torch.Generator().manual_seed(1))
        given = torch.from_numpy(np.tile(y.astype(np.float32), (SAMPLES, 1)))
        velocity = Velocity(network, masks=False)
        return flowed(velocity, z, given, OdeSolver(solver, n_steps)).numpy()

    for epoch, seconds in plain_loop(network, work.x, work.y, epochs[-1], run.seed):
        if epoch in epochs:
            numbers = {"CPU s": seconds}
            for name, how in SOLVERS.items():
                scores = work.scores(lambda y, how=how: drawn(y, *how))
                numbers[f"Sinkhorn divergence, {name}"] = scores["Sinkhorn divergence"]
            yield Line(PLAIN, f"{epoch} epochs", numbers)


@EXPERIMENTS("beside-plain")
def beside_plain(run: Run) -> Iterator[Line]:
    """The divergence of whole trainings of ours, and the share of the plain loop's time to reach
    its last value; its rows must be there.
    """
    work = Posteriors("mixture", run.seed, 2 if run.quick else OBSERVATIONS)
    work.fitted(run.seed, 10, coupling="none")  # what is compiled once is no part of training
    course: dict[float, float] = {}
    for n_steps in (50, 100) if run.quick else STEPS:
        flow, seconds = work.fitted(run.seed, n_steps, coupling="none")
        numbers = {"CPU s": seconds}
        for name, (solver, steps) in SOLVERS.items():
            scores = work.scores(flow, solver=solver, n_steps=steps)
            numbers[f"Sinkhorn divergence, {name}"] = scores["Sinkhorn divergence"]
        course[seconds] = numbers[VALUE]
        yield Line(OURS, f"{n_steps} steps", numbers)
    rows = [r for r in read(run.out / "flow_matching.csv") if r.seed == run.seed]
    plain = [r for r in rows if r.experiment == PLAIN]
    if not plain:
        run.failures.append("beside-plain needs the rows of plain")
        return
    took, reached = ([r.value for r in plain if r.measure == m][-1] for m in ("CPU s", VALUE))
    within = min((s for s, value in course.items() if value <= reached), default=np.inf)
    yield Line(OURS, "share of the plain loop's time", {"CPU s": within / took})


def draw_course(rows: list[Row], path: Path) -> None:
    """The divergence over CPU seconds, a line for each seed."""
    own = [row for row in rows if row.experiment in (PLAIN, OURS)]
    if not own:
        return
    with figure(path, 5.6, 3.6) as drawn:
        axes = drawn.add_subplot()
        for colour, name in ((ASIDE, PLAIN), (REACHED, OURS)):
            for k, seed in enumerate(sorted({r.seed for r in own if r.experiment == name})):
                here = [r for r in own if (r.experiment, r.seed) == (name, seed)]
                values = [r.value for r in here if r.measure == VALUE]
                seconds = [r.value for r in here if r.measure == "CPU s"][: len(values)]
                label = "_" if k else name  # no second entry of the legend
                course = {label: zip(seconds, values, strict=True)}
                curves(
                    axes, course, colours=[colour], x="CPU seconds of training",
                    y="Sinkhorn divergence",
                )  # fmt: skip
        axes.legend(frameon=False)
