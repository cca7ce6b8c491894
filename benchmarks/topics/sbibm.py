"""The field's benchmark of posteriors, sbibm: C2ST to reference samples, beside NPE and FMPE.

Observations and reference samples are read from sbibm's wheel (`pip download --no-deps
sbibm==1.1.0`, --wheel). Peers run in an environment of their own: `python -m venv ENV`,
`ENV/bin/pip install "sbi==0.27.*"`, and --peers ENV/bin/python.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from energyflow import inverse, metrics
from energyflow.models import FlowGenerator

from ..pictures import figure
from ..rows import Row
from ..runner import Line, Run, Topic
from ._sbibm_tasks import TASKS, WHEEL, Points, Reference, Task

_CHECKED = 500  # reference samples whose simulations are compared with the observation
_FAR = 15.0  # standard deviations


def _pictures(rows: list[Row], out: Path) -> None:
    """C2ST of each method, a line for each task and a panel for each number of simulations."""
    scores = [row for row in rows if row.measure == "C2ST" and "," in row.experiment]
    sizes = sorted({_size(row) for row in scores})
    if not sizes:
        return
    names = [name for name in TASKS if any(row.experiment.startswith(f"{name},") for row in scores)]
    looks = {m: look for m, look in _LOOKS.items() if any(row.method == m for row in scores)}
    with figure(out / "sbibm.svg", 4 * len(sizes) + 1, 1 + 0.4 * len(names)) as drawn:
        panels = drawn.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for panel, size in zip(panels, sizes, strict=True):
            for method, look in looks.items():
                own = [row for row in scores if row.method == method and _size(row) == size]
                places = [names.index(row.experiment.partition(",")[0]) for row in own]
                panel.plot([row.value for row in own], places, look, label=method)
            panel.set(title=f"{size:,} simulations", xlabel="C2ST", xlim=(0.48, 1.02))
            panel.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
            panel.grid(alpha=0.3)
        panels[-1].legend(fontsize="small")


def _size(row: Row) -> int:
    return int(row.experiment.partition(", ")[2].split()[0].replace(",", ""))


_LOOKS = {
    "energyflow": "C0o", "FlowGenerator": "C3d", "NPE, sbi": "C1s", "FMPE, sbi": "C2^",
    "NPE, published": "C7x", "SNPE, published": "C7+",
}  # fmt: skip
TOPIC = Topic(
    "sbibm", "Benchmark of posteriors", __doc__, threads=1, by_method=True, pictures=_pictures,
    options={
        "sizes": "numbers of simulations, with commas between them",
        "observations": "of each task, from the first on; at most 10",
        "methods": "of energyflow, FlowGenerator, NPE, FMPE, with commas between them",
        "samples": "of each posterior and of the reference that a classifier tells apart",
        "wheel": f"path of {WHEEL}",
        "peers": "interpreter that has sbi 0.27; no peers when not given",
    },
)  # fmt: skip


def posteriors(
    run: Run, *, name: str, sizes: str = "1000,10000", observations: int = 10,
    methods: str = "energyflow,NPE,FMPE", samples: int = 2000, wheel: str = WHEEL, peers: str = "",
) -> Iterator[Line]:  # fmt: skip
    """Mean C2ST over observations of what each method learns from the same simulations."""
    task, reference = TASKS[name], Reference(Path(wheel), name)
    numbers = range(1, 2 if run.quick else observations + 1)
    observed = np.stack([reference.observation(k) for k in numbers])
    truths = [reference.posterior(k)[:samples] for k in numbers]
    _check(run, task, observed, truths)
    for n in [200] if run.quick else map(int, sizes.split(",")):
        rng = np.random.default_rng([run.seed, n, list(TASKS).index(name)])
        theta = task.prior(n, rng)
        pairs = theta, task.simulate(theta, rng)
        experiment = f"{name}, {n:,} simulations"
        if run.seed == 0 and n in task.published:
            for method, value in zip(("NPE", "SNPE"), task.published[n], strict=True):
                yield Line(experiment, f"{method}, published", {"C2ST": value})
        for method in methods.split(","):
            ours = method in _OURS
            if ours:
                drawn, seconds = _energyflow(run, task, pairs, observed, method, samples)
            elif peers:
                drawn, seconds = _peer(run, task, pairs, observed, method, samples, peers)
            else:
                continue
            yield Line(
                experiment, method if ours else f"{method}, sbi",
                _scores(drawn, truths) | {"training, CPU s": seconds},
                f"C2ST of {samples} samples each",
            )  # fmt: skip


def longer(run: Run, *, name: str, observations: int = 10, wheel: str = WHEEL) -> Iterator[Line]:
    """Two and four times the steps from 1,000 simulations, without early stopping: the weights that
    are the best by validation are kept; or, without validation, the last ones.
    """
    n, observations, samples = (200, 1, 100) if run.quick else (1000, observations, 1000)
    task, reference = TASKS[name], Reference(Path(wheel), name)
    rng = np.random.default_rng([run.seed, n, list(TASKS).index(name)])
    theta = task.prior(n, rng)
    x = task.simulate(theta, rng)
    observed = [reference.observation(k + 1) for k in range(observations)]
    truths = [reference.posterior(k + 1)[:samples] for k in range(observations)]
    known: dict[bytes, dict[str, float]] = {}  # scores; the same weights draw the same samples
    for method, settings in _LONGER.items():
        given = settings | ({"n_steps": 60} if run.quick else {})
        flow = inverse.PosteriorFlow(bounds=task.bounds, seed=run.seed, device="cpu", **given)
        flow.fit(theta, x, progress=False)
        drawn = [flow.sample(row, samples, rng=run.seed).samples for row in observed]
        key = np.stack(drawn).tobytes()
        known[key] = known.get(key) or _scores(drawn, truths)
        note = f"C2ST of {samples} samples each"
        yield Line(f"{name}: longer training", method, known[key], note)


_LONGER: dict[str, dict[str, Any]] = {
    "defaults: 2500 steps at most": {},
    "5000, the best kept": {"n_steps": 5000, "early_stopping": False},
    "10,000, the best kept": {"n_steps": 10_000, "early_stopping": False},
    "10,000, the last kept": {"n_steps": 10_000, "validation": 0.0},
}
for _name in TASKS:
    TOPIC(_name, name=_name)(posteriors)
    TOPIC(f"{_name}-longer", name=_name)(longer)


def _scores(samples: list[Points], truths: list[Points]) -> dict[str, float]:
    """C2ST over observations."""
    scores = [metrics.c2st(mine, truth) for mine, truth in zip(samples, truths, strict=True)]
    return {
        "C2ST": float(np.mean(scores)), "least": min(scores), "greatest": max(scores),
        "observations": len(scores),
    }  # fmt: skip


def _check(run: Run, task: Task, observed: Points, truths: list[Points]) -> None:
    """What our simulator makes of reference samples must be spread around the observation."""
    for number, (x, truth) in enumerate(zip(observed, truths, strict=True), 1):
        simulated = task.simulate(truth[:_CHECKED], np.random.default_rng(number))
        centre, spread = simulated.mean(axis=0), simulated.std(axis=0)
        if np.any(np.abs(x - centre) > _FAR * spread + 1e-6):
            run.failures.append(f"{task.name}: observation {number} is far from its simulations")


_OURS: dict[str, Callable[..., inverse.PosteriorFlow]] = {
    "energyflow": inverse.PosteriorFlow,
    "FlowGenerator": lambda *, bounds, **settings: inverse.PosteriorFlow(
        model=FlowGenerator(**settings), bounds=bounds
    ),
}


def _energyflow(
    run: Run, task: Task, pairs: tuple[Points, Points], observed: Points, method: str, n: int
) -> tuple[list[Points], float]:
    """n samples of each posterior by the defaults, and the CPU seconds of training."""

    def fitted(theta: Points, x: Points) -> inverse.PosteriorFlow:
        flow = _OURS[method](bounds=task.bounds, seed=run.seed, device="cpu")
        return flow.fit(theta, x, progress=False)

    warm = inverse.PosteriorFlow(n_steps=1, device="cpu")  # what only first calls do
    warm.fit(*(points[:50] for points in pairs), progress=False)
    begun = time.process_time()
    flow = fitted(*pairs)
    seconds = time.process_time() - begun
    return [flow.sample(row, n, rng=run.seed).samples for row in observed], seconds


def _peer(
    run: Run, task: Task, pairs: tuple[Points, Points], observed: Points, method: str, n: int,
    python: str,
) -> tuple[list[Points], float]:  # fmt: skip
    """The same by sbi, in a process of the interpreter that has it."""
    script = Path(__file__).with_name("_sbibm_peer.py")
    kind, first, second = task.law
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with TemporaryDirectory() as folder:
        given, out = Path(folder) / "pairs.npz", Path(folder) / "samples.npz"
        theta, x = pairs
        np.savez(
            given, theta=theta, x=x, observed=observed, kind=kind, first=first, second=second
        )  # fmt: skip
        words = [Path(python).absolute(), script, method, run.seed, n, given, out]
        subprocess.run([*map(str, words)], env=environment, cwd=folder, check=True)
        with np.load(out) as file:
            return list(file["samples"]), float(file["seconds"])
