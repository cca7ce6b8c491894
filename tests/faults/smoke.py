"""A little of everything, in the current folder, as a user would do it: run by path."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Distance, flow, test, a model of 100 steps, and the command line."""
    import numpy as np

    import energyflow as ef
    from energyflow import cli, models

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) + 1
    needed(0.1 < ef.sliced_energy_distance(x, y, rng=0) < 2)
    needed(ef.energy_test(x, y, n_resamples=99, rng=0, progress=False).pvalue <= 0.05)
    result = ef.ParticleFlow(y, rng=0).run(x, 20, progress=False)
    result.save("flow.npz")
    needed(bool((ef.FlowResult.load("flow.npz").particles == result.particles).all()))
    model = models.FlowMatching(
        n_steps=100, n_rounds=1, architecture=models.MLP(width=8, depth=1), sampling_steps=2
    )
    model.fit(x.astype(np.float32), out="model", progress=False)
    needed(bool((models.load("model").sample(5, rng=0) == model.sample(5, rng=0)).all()))
    np.save("x.npy", x)
    np.save("y.npy", y)
    for line in (
        "distance x.npy y.npy",
        "flow --source x.npy --target y.npy --steps 5 --out commanded --quiet",
        "sample model -n 3 --out s.npz",
    ):
        try:
            cli.main(line.split())
        except SystemExit as end:
            needed(not end.code)
    needed(Path("commanded", "flow.npz").is_file())
    print("all is well")


def needed(truth: bool) -> None:
    """An assertion that `python -O` keeps."""
    if not truth:
        raise SystemExit(f"wrong in line {sys._getframe(1).f_lineno}")


if __name__ == "__main__":
    main()
