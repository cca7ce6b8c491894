"""What is disturbed by `python -m tests.faults`: command lines, and savings from Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Work:
    """A command line whose outcome lies in the folder `run`, or a function that fills it.

    resume: what is added to the command where there is something to go on with.
    going_on: the file or folder that shows it.
    before: makes what stood there already.
    sweeps: whether it removes what a kill has left half-written, and does not only ignore it.
    """

    arguments: tuple[str, ...] = ()
    call: Callable[[], None] | None = None
    resume: tuple[str, ...] = ()
    going_on: str = "run"
    before: Callable[[], None] = field(default=lambda: None)
    sweeps: bool = True

    def do(self) -> int:
        """In the current folder; the exit status."""
        if self.call is not None:
            self.call()
            return 0
        from energyflow.cli import main

        try:
            main(self.command(Path()))
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def command(self, folder: Path) -> list[str]:
        """Arguments of the command line in that folder."""
        return [*self.arguments, *(self.resume if (folder / self.going_on).exists() else ())]


def inputs() -> None:
    """What all of them read."""
    rng = np.random.default_rng(0)
    np.savez("points.npz", x=rng.normal(size=(60, 2)).astype(np.float32))
    Path("problem.toml").write_text(
        '[operator]\nkind = "linear"\nmatrix = [[1.0, 1.0]]\n\n'
        '[noise]\nkind = "gaussian"\nstd = 0.5\n'
    )


def _train(kind: str, *more: str) -> Work:
    command = ("train", kind, "--data", "points.npz:x", "--out", "run", "--quiet", *more)
    return Work(command, resume=("--resume",))


def _older_flow() -> None:
    assert Work((*_FLOW, "--steps", "3", "--seed", "9")).do() == 0


def _saved() -> None:
    """A model and a flow, to be saved elsewhere; an older flow stands there already."""
    from energyflow.models import FlowGenerator

    with np.load("points.npz") as file:
        points = file["x"]
    how = {"n_particles": 50, "n_projections": 8, "n_blocks": 1, "n_steps": 5}
    FlowGenerator(**how).fit(points, progress=False).save("model")
    _older_flow()
    assert Work((*_FLOW, "--steps", "2", "--out", "flow")).do() == 0
    Path("run", "s.npz").write_bytes(Path("run", "flow.npz").read_bytes())


def _fit() -> None:
    """Small networks whose training is carried on from round to round."""
    from energyflow.models import DMMD, MLP, FlowMatching

    with np.load("points.npz") as file:
        points = file["x"]
    how = {"n_steps": 30, "n_rounds": 3, "batch_size": 32, "seed": 3}
    small = MLP(width=8, depth=1)
    again = {"resume": True, "progress": False}
    FlowMatching(sampling_steps=4, architecture=small, **how).fit(points, out="run/fm", **again)
    DMMD(n_features=4, architecture=small, **how).fit(points, out="run/dmmd", **again)


def _save() -> None:
    import energyflow as ef
    from energyflow import inverse, models

    ef.FlowResult.load("flow/flow.npz").save("run/flow.npz")
    if not Path("run/model").exists():
        models.load("model").save("run/model")
    if not Path("run/posterior").exists():
        problem = inverse.Problem.from_toml("problem.toml")
        inverse.PosteriorFlow(problem, models.load("model")).save("run/posterior")
    inverse.Problem.from_toml("problem.toml").save("run/problem.json")


_FLOW = ("flow", "--target", "points.npz:x", "--out", "run", "--quiet", "--save-every", "0")
_STEPS = ("--steps", "12", "--record-every", "4")
_BLOCKS = ("--blocks", "3", "--particles", "50", "--projections", "8", "--steps", "20")
_REGRESSION = ("--problem", "problem.toml", "--guess", "regression", "--components", "1")

WORKS = {
    "flow": Work((*_FLOW, *_STEPS), resume=("--resume",), going_on="run/flow.npz"),
    "flow --force": Work((*_FLOW, *_STEPS, "--force"), before=_older_flow),
    "train flow": _train("flow", *_BLOCKS),
    "train flow-matching": _train("flow-matching", "--steps", "3", "--batch", "16"),
    "train dmmd": _train("dmmd", "--steps", "4"),
    "train posterior": _train("posterior", *_REGRESSION, *_BLOCKS),
    "fit": Work(call=_fit),
    "save": Work(call=_save, before=_saved, sweeps=False),
    "sample": Work(
        ("sample", "model", "-n", "9", "--out", "run/s.npz", "--grid", "run/s.png"),
        before=_saved, sweeps=False,
    ),
}  # fmt: skip
