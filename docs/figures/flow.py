"""Particles that flow from a small cloud onto three rings."""

import numpy as np
from _canvas import BLUE, ORANGE, bare, canvas, main
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import energyflow as ef

STEPS = (0, 5, 20, 400)


CENTRES = np.array([[-2.4, 0.0], [0.0, 0.0], [2.4, 0.0]])


def rings(count: int) -> np.ndarray:
    """Points (3 count, 2) evenly on three circles."""
    angle = 2 * np.pi * np.arange(count) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([circle + centre for centre in CENTRES])


def draw() -> Figure:
    """The particles at four steps, over the target."""
    target = rings(80)
    particles = np.random.default_rng(0).normal([0, 1.6], 0.15, (240, 2))
    seen = {}
    flow = ef.ParticleFlow(target, rng=0)
    flow.run(
        particles, STEPS[-1], record_every=1, progress=False,
        callback=lambda step, x, distance: seen.__setitem__(step, (x, distance)),
    )  # fmt: skip
    figure = canvas(3.8)
    panels = figure.subplots(2, len(STEPS) // 2, sharex=True, sharey=True).flat
    for axes, step in zip(panels, STEPS, strict=True):
        x, distance = seen[step]
        bare(axes)
        for centre in CENTRES:
            axes.add_patch(Circle(centre, 1, fill=False, edgecolor=ORANGE, linewidth=1.5))
        axes.scatter(*x.T, s=5, color=BLUE, linewidths=0)
        axes.set(xlim=(-4.0, 4.0), ylim=(-2.6, 2.6))
        axes.set_title(f"step {step}, E = {distance:.2g}")
    return figure


if __name__ == "__main__":
    main(draw)
