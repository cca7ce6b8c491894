"""How good samples of flow generators are: digits, toys in the plane, and what each setting does.

Draws generative_<experiment>.png.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from energyflow import datasets, metrics, sliced_energy_distance
from energyflow.models import FlowGenerator, save_grid
from energyflow.models.training.run_folder import RunFolder

from ..pictures import save_scatter
from ..runner import Line, Run, Topic
from ..timing import cpu_seconds

OPTIONS = {"budget": "of training on digits, as `energyflow train` takes it"}
TOPIC = Topic("generative", "Flow generators", __doc__, threads=1, options=OPTIONS)
RATIO = "energy distance over floor"


@TOPIC("digits", by_class=False)
@TOPIC("digits-labels", by_class=True)
def digits(run: Run, by_class: bool, *, budget: str = "4000 steps") -> Iterator[Line]:
    """The preset, as `energyflow train flow --data digits` runs it."""
    data = datasets.load("digits")
    name = "digits-labels" if by_class else "digits"
    model = FlowGenerator(preset="digits", seed=run.seed, device="cpu")
    labels = data.train_labels if by_class else None
    given_budget = "40 steps" if run.quick else budget
    _, seconds = cpu_seconds(
        lambda: model.fit(data.train, labels, budget=given_budget, progress=False)
    )
    given = np.arange(100) // 10 if by_class else None
    save_grid(
        run.out / f"generative_{name}.png", np.asarray(model.sample(100, given, rng=run.seed))
    )
    report = metrics.evaluate(model, data, labels="data" if by_class else None, rng=run.seed)
    for method in ("samples", "real data"):
        column = method.partition(" ")[0]
        yield Line(
            "digits, class by class" if by_class else "digits", method,
            {row.measure: getattr(row, column) for row in report.rows},
            f"{given_budget}, {model.n_trained} networks, {seconds:.0f} CPU s of training",
        )  # fmt: skip


@TOPIC("moons", name="moons")
@TOPIC("eight-gaussians", name="eight-gaussians")
@TOPIC("checkerboard", name="checkerboard")
def toy(run: Run, name: str) -> Iterator[Line]:
    """The preset for vectors on a toy: what 10,000 samples reach against as many new points."""
    n = 1000 if run.quick else 10_000
    small = {"n_particles": 1000, "n_blocks": 2, "n_steps": 100} if run.quick else {}
    data = datasets.load(name, seed=run.seed).train
    model = FlowGenerator(preset="toy", seed=run.seed, device="cpu", **small)
    _, seconds = cpu_seconds(lambda: model.fit(data, progress=False))
    new = datasets.load(name, n=20 * n, seed=run.seed + 1000)
    _, floor = _distance(new.train, new.test, n)
    clouds = {"samples": np.asarray(model.sample(20 * n, rng=run.seed)), "training data": data}
    save_scatter(run.out / f"generative_{name}.png", clouds["samples"][:1500], data[:1500])
    note = f"{model.n_trained} networks; what sets of {n} points have on average"
    for method, cloud in clouds.items():
        error, noise = _distance(cloud, new.test, n)
        numbers = {"energy distance": error + noise, RATIO: (error + noise) / floor}
        trained = {"CPU seconds of training": seconds} if method == "samples" else {}
        yield Line(f"toy: {name}", method, numbers | trained, note)
    yield Line(f"toy: {name}", "real data", {"energy distance": floor}, note)


def _distance(x: np.ndarray, y: np.ndarray, n: int) -> tuple[float, float]:
    """Energy distance (U), and what the noise of n points of each adds to its V estimate.

    V exceeds U by E|x - x'| / N + E|y - y'| / M. Directions stand at equal angles, which is nearly
    exact in the plane.
    """
    m = min(len(x), len(y))
    pair = x[:m].astype(np.float64), y[:m].astype(np.float64)
    angles = np.pi * (np.arange(60) + 0.5) / 60
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    u, v = (float(sliced_energy_distance(*pair, projections=rays, estimator=e)) for e in "UV")
    return u, (v - u) * m / n


ABLATIONS: dict[str, dict[str, Any]] = {
    "all as it is": {},
    "momentum 0": {"momentum": 0.0},
    "16 slices": {"n_projections": 16},
    "256 slices": {"n_projections": 256},
    "independent slices": {"slicing": "iid"},
    "orthogonal slices": {"slicing": "orthogonal"},
    "one network for all blocks": {"one_network": True},
    "particles where the network put them": {"particles": "network"},
    "particles where the flow put them": {"particles": "flow"},
}


@TOPIC("ablations")
def ablations(run: Run) -> Iterator[Line]:
    """Digits with one setting changed; blocks and network steps are the same for all.

    Unless a method says otherwise: momentum 0.7, 64 slices, a network a block, new noise a block.
    "Particles" are those of the last block, where the flow has put them (or the network, if the
    next block would go on from there).
    """
    data = datasets.load("digits")
    n, blocks, steps = (300, 2, 20) if run.quick else (1500, 4, 300)
    settings = {"n_particles": n, "n_blocks": blocks, "n_steps": steps, "block_cap": 32}
    strata = np.concatenate([np.asarray(data.test_labels), np.asarray(data.train_labels)])

    def ratio(points: np.ndarray) -> float:
        """As `evaluate` measures it."""
        return metrics.energy_distance_report(
            points, data.test, run.seed, real=data.train, strata=strata
        ).ratio

    for method, change in ABLATIONS.items():
        given = settings | change
        model = FlowGenerator(preset="digits", seed=run.seed, device="cpu", **given)
        with tempfile.TemporaryDirectory() as scratch:
            kept = RunFolder(Path(scratch) / "run")
            _, seconds = cpu_seconds(
                lambda model=model, kept=kept: model.fit(data.train, out=kept.path, progress=False)
            )
            state = kept.state(model.n_trained - 1)
        particles = (state["particles"] * state["data.scale"] + state["data.offset"]).numpy()
        samples = np.asarray(model.sample(len(data.train), rng=run.seed))
        numbers = {
            f"{RATIO}, samples": ratio(samples),
            f"{RATIO}, particles": ratio(particles[: len(data.train)]),
            "CPU seconds": seconds,
        }
        yield Line("ablations", method, numbers)
