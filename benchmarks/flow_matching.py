"""Conditional Wasserstein distances, and flow matching with three couplings.

Writes flow_matching.csv and flow_matching.md with pictures beside; experiments that are not run
keep their rows. Times are those of the process on one thread, so that other work does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

import energyflow as ef
from energyflow import _pictures, datasets, inverse, metrics
from energyflow.models import MLP, FlowMatching

from .posterior_known import Mixture, differences
from .rows import Row, command, read, shown, write

METHODS: dict[str, dict[str, Any]] = {
    "none": {"coupling": "none"},
    "ot": {"coupling": "ot"},
    "conditional-ot, beta 4": {"coupling": "conditional-ot", "beta": 4.0},
    "conditional-ot, beta 20": {"coupling": "conditional-ot", "beta": 20.0},
}
COLOURS = (_pictures.ASIDE, "#777777", _pictures.REACHED, "#6fa8dc")
PROBLEMS = {"mixture": (0.1, 0.1), "sharp": (1.0, 0.05)}
STEPS = (1, 2, 3, 5, 10, 20, 50)
PAIRS = 10_000


def counterexample(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Conditions 0, 1/n, ...; x is 1 and -1 in turn, z is -x: near jointly, opposite given y."""
    n = 40
    y = np.arange(n)[:, None] / n
    x = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
    betas = np.geomspace(0.1, 1000, 17 if quick else 65)
    values = [float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=b)) for b in betas]
    plain = float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=0))
    exact = float(ef.conditional_wasserstein_distance(x, y, -x, y))
    place = np.arange(n)
    grouped = float(ef.conditional_wasserstein_distance(x, None, -x, None, groups=(place, place)))
    near = float(ef.conditional_wasserstein_distance(x, y, -x, y, beta=1))
    energy = float(ef.energy_distance(np.hstack([x, y]), np.hstack([-x, y])))
    for measure, value in (
        ("W_2 of x alone (beta 0)", plain), ("W_2 of the joint (beta 1)", near),
        ("sqrt(E) of the joint", math.sqrt(energy)), ("conditional W_2", exact),
        ("conditional W_2, by groups", grouped),
    ):  # fmt: skip
        yield Row("counterexample", f"{n} conditions", seed, measure, value)
    figure = _pictures._figure(5.6, 3.6)
    axes = figure.add_subplot()
    axes.plot(betas, values, color=_pictures.REACHED, label="relaxed, over beta")
    axes.axhline(exact, color=_pictures.ASIDE, linestyle="--", label="conditional (mean over y)")
    axes.set_xscale("log")
    axes.set_xlabel("beta")
    axes.set_ylabel("W")
    axes.legend(frameon=False)
    _pictures._save(figure, out / "conditional_wasserstein.png")


def coupling_times(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """CPU ms of a coupling of the mixture's pairs, whole and in parts, beside a step of Adam."""
    rng = np.random.default_rng(seed)
    task = Mixture(0.1, 0.1, seed)
    for n in (64, 256) if quick else (64, 128, 256, 512, 1024, 2048, 4096):
        x = task.prior(n, rng)
        y = task.diagonal * x + 0.1 * rng.normal(size=(n, 5))
        z, x, y = (
            torch.from_numpy(((v - v.mean(0)) / np.sqrt(np.var(v))).astype(np.float32))
            for v in (rng.normal(size=(n, 5)), x, y)
        )

        def coupled(
            size: int, beta: float, z: torch.Tensor = z, x: torch.Tensor = x, y: torch.Tensor = y
        ) -> None:
            for first in range(0, len(z), size):
                part = slice(first, first + size)
                ef.conditional_coupling(z[part], y[part], x[part], y[part], beta=beta)

        tasks: dict[str, Callable[[], object]] = {
            "conditional-ot, beta 20": partial(coupled, n, 20.0),
            "conditional-ot, in parts of 256": partial(coupled, 256, 20.0),
            "ot, in parts of 256": partial(coupled, 256, 0.0),
            "network step": _network_step(n),
        }
        if n <= 1024:
            tasks["ot"] = partial(coupled, n, 0.0)
        for method, work in tasks.items():
            value = 1e3 * _least(work, 3 if n > 1000 else 10)
            yield Row("time of a coupling", method, seed, f"ms at {n}", value)


def _network_step(n: int) -> Callable[[], object]:
    """Forward, backward and Adam of the MLP used for the mixtures."""
    network = MLP(width=128, depth=2).build((5,), [(5,), (1,)])
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    inputs = torch.randn(n, 5), torch.randn(n, 5), torch.rand(n, 1)

    def step() -> None:
        optimizer.zero_grad()
        network(*inputs).square().mean().backward()
        optimizer.step()

    return step


def _least(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begun = process_time()
        work()
        times.append(process_time() - begun)
    return min(times)


class Posteriors:
    """Pairs of a mixture problem to learn from, and observations with known posteriors."""

    def __init__(self, name: str, seed: int, quick: bool) -> None:
        strength, noise = PROBLEMS[name]
        self.task = Mixture(strength, noise, seed)
        rng = np.random.default_rng([seed, 8])
        self.problem = inverse.Linear(self.task.diagonal) + inverse.Gaussian(noise)
        self.x = self.task.prior(PAIRS, rng).astype(np.float32)
        self.y = np.asarray(self.problem.simulate(self.x, rng), np.float32)
        seen = self.problem.simulate(self.task.prior(100, rng), rng)
        self.seen = seen[: 2 if quick else 10]
        self.truths = [self.task.posterior(y, 1000, rng) for y in self.seen]
        self._rng = rng

    def scores(self, draw: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
        """Means over observations of what `differences` measures."""
        found = [
            differences(np.asarray(draw(y)), truth)
            for y, truth in zip(self.seen, self.truths, strict=True)
        ]
        return {measure: float(np.mean([f[measure] for f in found])) for measure in found[0]}

    def references(self) -> dict[str, dict[str, float]]:
        """Floor and prior."""
        return {
            "floor (truth)": self.scores(lambda y: self.task.posterior(y, 1000, self._rng)),
            "prior": self.scores(lambda y: self.task.prior(1000, self._rng)),
        }

    def fitted(self, seed: int, n_steps: int, **settings: Any) -> tuple[FlowMatching, float]:
        """The model, and the CPU seconds of its training."""
        model = FlowMatching(
            n_steps=n_steps, n_rounds=1, seed=seed, device="cpu", preset="toy", **settings
        )
        sampler = inverse.PosteriorFlow(self.problem, model)
        begun = process_time()
        sampler.fit(self.x, self.y, progress=False)
        return model, process_time() - begun

    def energy(self, model: FlowMatching, n_steps: int) -> float:
        """Mean energy distance (U) to the true posteriors by so many Euler steps."""
        distances = []
        for y, truth in zip(self.seen, self.truths, strict=True):
            drawn = model.sample(1000, y.astype(np.float32), 1, solver="euler", n_steps=n_steps)
            found = ef.energy_distance(drawn.astype(np.float64), truth, estimator="U")
            distances.append(float(found))
        return float(np.mean(distances))


def posteriors(name: str, n_steps: int, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Differences to the true posteriors for the three couplings, and few-step sampling."""
    work = Posteriors(name, seed, quick)
    title = f"{name}, {n_steps} steps"
    for method, scores in work.references().items():
        for measure, value in scores.items():
            yield Row(title, method, seed, measure, value)
    for method, settings in METHODS.items():
        yield from trained(work, title, method, settings, n_steps, seed, quick)


def trained(
    work: Posteriors, title: str, method: str, settings: dict[str, Any], n_steps: int, seed: int,
    quick: bool,
) -> Iterator[Row]:  # fmt: skip
    """Differences after training with one coupling, and over the number of Euler steps."""
    model, seconds = work.fitted(seed, 100 if quick else n_steps, **settings)
    scores = work.scores(lambda y: model.sample(1000, y.astype(np.float32), 1))
    for measure, value in ({"CPU s": seconds} | scores).items():
        yield Row(title, method, seed, measure, value)
    for k in STEPS:
        yield Row(f"{title}: Euler", method, seed, f"E (U) at {k}", work.energy(model, k))


def draw_steps(rows: list[Row], path: Path) -> None:
    """Energy distance over the number of Euler steps, means over seeds."""
    figure = _pictures._figure(5.6, 3.6)
    axes = figure.add_subplot()
    for colour, method in zip(COLOURS, METHODS, strict=True):
        values = [
            np.mean([r.value for r in rows if (r.method, r.measure) == (method, f"E (U) at {k}")])
            for k in STEPS
        ]
        axes.plot(STEPS, values, "o-", color=colour, label=method)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Euler steps")
    axes.set_ylabel("energy distance (U) to the true posterior")
    axes.legend(frameon=False)
    _pictures._save(figure, path)


def betas(name: str, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Few-step sampling over beta."""
    work = Posteriors(name, seed, quick)
    for beta in (2.0,) if quick else (0.5, 1.0, 2.0, 4.0):
        n_steps = 100 if quick else 2000
        model, _ = work.fitted(seed, n_steps, coupling="conditional-ot", beta=beta)
        for k in (1, 2, 3, 5, 20):
            value = work.energy(model, k)
            yield Row(f"{name}: beta, {n_steps} steps", f"{beta:g}", seed, f"E (U) at {k}", value)


def plain_loop(n_epochs: int, seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """The paper's network and optimiser in a plain loop: 50 batches of 200 an epoch, lr 1e-4."""
    work = Posteriors("mixture", seed, quick)
    pairs = torch.from_numpy(np.hstack([work.x, work.y]))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for first, last in ((11, 256), (256, 256), (256, 256)):
        layers += [torch.nn.Linear(first, last), torch.nn.LeakyReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(256, 5))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loader = torch.utils.data.DataLoader(pairs, 200, shuffle=True, generator=generator)
    begun = process_time()
    epochs = 2 if quick else n_epochs
    for _ in range(epochs):
        for batch in loader:
            x, y = batch[:, :5], batch[:, 5:]
            z, t = (
                torch.randn(x.shape, generator=generator),
                torch.rand(200, 1, generator=generator),
            )
            found = network(torch.cat([z + t * (x - z), y, t], 1))
            optimizer.zero_grad()
            (found - (x - z)).square().sum().backward()
            optimizer.step()
    seconds = process_time() - begun

    def draw(y: np.ndarray) -> np.ndarray:
        z = torch.randn(1000, 5, generator=torch.Generator().manual_seed(1))
        given = torch.from_numpy(np.tile(y.astype(np.float32), (1000, 1)))
        with torch.no_grad():
            for k in range(10):
                z = z + network(torch.cat([z, given, torch.full((1000, 1), k / 10)], 1)) / 10
        return z.numpy()

    for measure, value in ({"CPU s": seconds} | work.scores(draw)).items():
        title = f"mixture, plain loop of {epochs} epochs"
        yield Row(title, "10 Euler steps", seed, measure, value)


def digits(seed: int, quick: bool, out: Path) -> Iterator[Row]:
    """Class-conditional digits at equal steps: accuracy of the class asked for, and distances."""
    data = datasets.load("digits")
    for coupling in ("conditional-ot", "none"):
        model = FlowMatching(
            coupling=coupling, n_steps=50 if quick else 3000, n_rounds=1, seed=seed, device="cpu"
        )
        begun = process_time()
        model.fit(data.train, data.train_labels, progress=False)
        seconds = process_time() - begun
        report = metrics.evaluate(model, data, labels="data", rng=seed)
        yield Row("digits", coupling, seed, "CPU s", seconds)
        for row in report.rows:
            yield Row("digits", coupling, seed, row.measure, row.samples)
            if coupling == "none":
                yield Row("digits", "real data", seed, row.measure, row.real)


EXPERIMENTS = {
    "counterexample": counterexample,
    "times": coupling_times,
    "mixture": partial(posteriors, "mixture", 3000),
    "longer": partial(posteriors, "mixture", 12_000),
    "sharp": partial(posteriors, "sharp", 3000),
    "betas": partial(betas, "mixture"),
    "plain": partial(plain_loop, 250),
    "plain-longer": partial(plain_loop, 1000),
    "digits": digits,
}


def main() -> None:
    parser = command("flow_matching", __doc__, EXPERIMENTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or EXPERIMENTS:
        rows = shown(EXPERIMENTS[name](arguments.seed, arguments.quick, arguments.out))
        path = arguments.out / "flow_matching.csv"
        write(path, "Conditional transport and flow matching", rows)
        for title in {row.experiment for row in rows if row.experiment.endswith(": Euler")}:
            problem = title.partition(",")[0]
            same = [row for row in read(path) if row.experiment == title]
            draw_steps(same, arguments.out / f"flow_matching_steps_{problem}.png")


if __name__ == "__main__":
    main()
