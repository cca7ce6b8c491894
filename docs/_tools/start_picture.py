"""The picture of the start page: particles flow from noise into the word that names the package.

    python docs/_tools/start_picture.py

writes docs/assets/flow.webp, which moves, and docs/assets/flow.png, which does not, for those who
prefer less motion. Colours are of middle brightness on no background: for light and dark pages.
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image

import energyflow as ef

_ASSETS = Path(__file__).parents[1] / "assets"
_SIZE = (720, 240)  # pixels, shown at half that density on fine screens
_SHOWN = (*range(0, 24, 2), *range(24, 60, 6), 80, 120, 200, 400)
_COLOURS = LinearSegmentedColormap.from_list("", ["#2b83d6", "#8b62d0", "#e0702e"])


def word(text: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Points (n, 2), uniform inside the letters, whose word is 3 wide and centred at 0."""
    outline = TextPath((0, 0), text, size=100, prop=FontProperties("DejaVu Sans", weight="bold"))
    low, high = outline.get_extents().get_points()
    found = np.empty((0, 2))
    while len(found) < n:
        points = rng.uniform(low, high, size=(4 * n, 2))
        inside = outline.contains_points(points)
        found = np.concatenate([found, points[inside]])
    return (found[:n] - (low + high) / 2) * (3 / (high - low)[0])


def frame(points: np.ndarray, colours: np.ndarray) -> Image.Image:
    """The particles (n, 2) as a picture without a background."""
    figure = Figure(figsize=(_SIZE[0] / 100, _SIZE[1] / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6 / 3, 1.6 / 3))
    axes.scatter(*points.T, s=5, c=colours, cmap=_COLOURS, linewidths=0)
    data = io.BytesIO()
    figure.savefig(data, transparent=True)
    return Image.open(data)


def main() -> None:
    """Move the particles and write both pictures."""
    rng = np.random.default_rng(0)
    target = word("energyflow", 5000, rng)
    start = rng.normal(scale=(0.4, 0.16), size=(2000, 2))
    path: list[np.ndarray] = []
    flow = ef.ParticleFlow(target, step_size=0.05, momentum=0.8, rng=0)
    flow.run(start, _SHOWN[-1], record_every=1, callback=lambda _, points, __: path.append(points))
    colours = start[:, 0].argsort().argsort()
    frames = [frame(path[step], colours) for step in _SHOWN]
    frames[-1].save(_ASSETS / "flow.png", optimize=True)
    frames[0].save(
        _ASSETS / "flow.webp",
        save_all=True,
        append_images=frames[1:],
        duration=[600, *[70] * (len(frames) - 2), 3000],
        loop=0,
        quality=40,
        alpha_quality=40,
        method=4,
    )


if __name__ == "__main__":
    main()
