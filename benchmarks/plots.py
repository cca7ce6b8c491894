"""Pictures of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import Row, fitted_exponent
from .rows import Row as Number


def plot_methods(path: Path, rows: Sequence[Row]) -> None:
    """Median time of every method, one panel a shape."""
    plt = _pyplot()
    shapes = list(dict.fromkeys(row.shape for row in rows))
    lines = -(-len(shapes) // 2)
    figure, panels = plt.subplots(
        lines, 2, figsize=(9, 2.2 * lines), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(shapes) :]:
        panel.set_axis_off()
    for shape, panel in zip(shapes, panels.flat, strict=False):
        timed = [row for row in rows if row.shape == shape and row.seconds is not None]
        timed.sort(key=lambda row: -(row.seconds or 0))
        colours = [_colour(row.method) for row in timed]
        milliseconds = [1000 * (row.seconds or 0) for row in timed]
        panel.barh([row.method for row in timed], milliseconds, color=colours)
        panel.set_xscale("log")
        panel.xaxis.minorticks_off()
        panel.set_xlabel("ms, median")
        panel.set_title(f"(N, d, P) = {shape}")
    figure.savefig(path)
    plt.close(figure)


def plot_scaling(path: Path, rows: Sequence[Row]) -> None:
    """Time and peak extra memory over the number of points."""
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method and row.seconds is not None]
        if len(own) < 2:
            continue
        n = [row.shape.n for row in own]
        label = f"{method}: N^{fitted_exponent(own):.2f}"
        left.plot(n, [row.seconds for row in own], "o-", color=_colour(method), label=label)
        known = [(row.shape.n, row.extra_bytes / 2**20) for row in own if row.extra_bytes]
        if known:
            right.plot(*zip(*known, strict=True), "o-", color=_colour(method))
    left.set(xscale="log", yscale="log", xlabel="N = M", ylabel="s, median")
    right.set(xscale="log", yscale="log", xlabel="N = M", ylabel="peak extra memory, MiB")
    left.legend()
    figure.savefig(path)
    plt.close(figure)


def plot_errors(path: Path, curves: dict[int, dict[str, dict[str, list[float]]]]) -> None:
    """Error of each family over the slices and over the time, one line a dimension.

    `curves` has, by dimension and family, the lists "slices", "seconds" and "error".
    """
    plt = _pyplot()
    figure, panels = plt.subplots(
        len(curves), 2, figsize=(9, 2.6 * len(curves)), squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(name for families in curves.values() for name in families))
    for line, (d, families) in zip(panels, curves.items(), strict=True):
        for panel, along in zip(line, ("slices", "seconds"), strict=True):
            for name, curve in families.items():
                colour = f"C{names.index(name)}"
                panel.plot(curve[along], curve["error"], "o-", color=colour, label=name)
            panel.set(xscale="log", yscale="log", xlabel=along, title=f"d = {d}")
    shown = {
        label: line
        for panel in panels.flat
        for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=len(shown))
    figure.supylabel("error of N times the gradient")
    figure.savefig(path)
    plt.close(figure)


def plot_memory(path: Path, rows: Sequence[Number]) -> None:
    """Peak extra memory and time over the number of points, with what is promised of memory."""
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for number, d in enumerate(dict.fromkeys(row.method.partition(", ")[2] for row in rows)):
        own = [row for row in rows if row.method.endswith(f", {d}")]
        for panel, measure, style in (
            (left, "peak extra, MiB", "o-"),
            (left, "bound, MiB", "--"),
            (right, "s of all CPUs", "o-"),
        ):
            points = [
                (float(row.method.split()[0]), row.value) for row in own if row.measure == measure
            ]
            label = f"{d}: {measure.partition(',')[0]}"
            panel.plot(*zip(*sorted(points), strict=True), style, color=f"C{number}", label=label)
    left.set(xscale="log", yscale="log", xlabel="N = M", ylabel="MiB")
    right.set(xscale="log", yscale="log", xlabel="N = M", ylabel="s of all CPUs, 32 slices")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path)
    plt.close(figure)


def _colour(method: str) -> str:
    if method.startswith("energyflow"):
        return "tab:blue"
    return {"floor": "tab:gray", "papers": "tab:red"}.get(method, "tab:orange")


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "energyflow"
    return plt
