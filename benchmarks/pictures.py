"""Pictures of the results, drawn by matplotlib from rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from energyflow._core.pictures import ASIDE as ASIDE
from energyflow._core.pictures import REACHED as REACHED
from energyflow._core.pictures import save_scatter as save_scatter

from .measure import fitted_exponent
from .rows import Row

Points = Iterable[tuple[float, float]]


WIDTH = 5.4  # inches of a figure whose text can be read at the width of a phone


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """A figure that is written to a file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    yield drawn
    with mpl.rc_context({"svg.hashsalt": "energyflow"}):
        drawn.savefig(path, dpi=150)


def curves(
    axes: Any, lines: Mapping[str, Points], style: str = "o-", colours: Sequence[str] = (),
    x: str = "", y: str = "", **other: Any,
) -> None:  # fmt: skip
    """Lines by name, sorted, on logarithmic axes."""
    for k, (label, points) in enumerate(lines.items()):
        if known := sorted(points):
            colour = colours[k] if colours else f"C{k}"
            axes.plot(*zip(*known, strict=True), style, color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y, **other)


def plot_methods(path: Path, rows: Sequence[Row]) -> None:
    """Median time of every method, one panel a shape."""
    titles = list(dict.fromkeys(row.experiment for row in rows))
    with figure(path, WIDTH, 2.0 * len(titles)) as drawn:
        panels = drawn.subplots(len(titles), 1, squeeze=False).flat
        for title, panel in zip(titles, panels, strict=True):
            own = (row for row in rows if (row.experiment, row.measure) == (title, "ms"))
            timed = sorted((row for row in own if row.value > 0), key=lambda row: -row.value)
            names = [row.method for row in timed]
            colours = [_colour(name) for name in names]
            panel.scatter([row.value for row in timed], names, color=colours, zorder=2)
            panel.grid(axis="y", alpha=0.3)
            panel.margins(0.06, 0.2)
            panel.set_xscale("log")
            panel.xaxis.minorticks_off()
            panel.set(xlabel="ms, median", title=title)


def plot_scaling(path: Path, rows: Sequence[Row]) -> None:
    """Time and peak extra memory over the number of points: of methods "NAME, N = M = NUMBER"."""
    kept: dict[str, dict[str, Points]] = {"ms": {}, "peak extra MiB": {}}
    for row in rows:
        method, _, n = row.method.partition(", N = M = ")
        if n and row.value > 0:
            kept[row.measure].setdefault(method, []).append((float(n), row.value))
    with figure(path, WIDTH, 7) as drawn:
        upper, lower = drawn.subplots(2, 1)
        for axes, (measure, lines) in zip((upper, lower), kept.items(), strict=True):
            colours = [_colour(method) for method in lines]
            named = {
                f"{method}: N^{fitted_exponent(*zip(*line, strict=True)):.2f}": line
                for method, line in lines.items()
                if len(line) > 1
            }
            curves(axes, named, colours=colours, x="N = M", y=measure)
        upper.legend()


def _colour(method: str) -> str:
    if method.startswith("energyflow"):
        return "tab:blue"
    return {"floor": "tab:gray", "papers": "tab:red"}.get(method, "tab:orange")
