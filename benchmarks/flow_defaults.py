"""Whether flows arrive by their defaults, and warn where a user's settings hold them back.

A pairwise design over dimensions, slices, momenta, particles, kinds of data, units and exponents:
every pair of values occurs in one run at least. The floor is the exact distance (V) of as many
real points to held-out data, the mean of three draws. Writes flow_defaults.csv and .md.

    python -m benchmarks.flow_defaults
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import energyflow as ef

from .machine import record

RESULTS = Path(__file__).parent / "results"
FACTORS: dict[str, tuple[object, ...]] = {
    "d": (1, 2, 10, 64, 256, 784, 3072),
    "slices": ("auto", 16, 128, 1000),
    "momentum": ("auto", 0.7, 0.9),
    "n": (100, 1000, 5000),
    "kind": ("gauss", "clusters", "heavy", "sparse", "low-rank"),
    "unit": (1e-6, 1.0, 1e6),
    "exponent": (0.5, 1.0, 1.5),
}
STEPS = 200
_LARGE = 3e9  # numbers of a run that are sorted or summed, at most
_COLUMNS = (
    *FACTORS, "start", "end", "floor", "ratio", "arrived", "warned", "noise", "cpu_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of the design."""

    d: int
    slices: int | str
    momentum: float | str
    n: int
    kind: str
    unit: float
    exponent: float

    @property
    def is_default(self) -> bool:
        """Whether nothing is set by the user."""
        return self.slices == "auto" and self.momentum == "auto"

    @property
    def target_points(self) -> int:
        """M."""
        return max(2000, self.n) if self.d < 1000 else max(1000, self.n)

    @property
    def work(self) -> float:
        """About how many numbers are sorted (r = 1), or compared by a tree, in all steps."""
        frame = 128 if self.d <= 128 else 2 ** (self.d - 1).bit_length()
        slices = frame if self.slices == "auto" else int(self.slices)
        if self.d == 1:
            slices = 1
        return STEPS * slices * (self.n + self.target_points) * (1 if self.exponent == 1 else 8)


def design(seed: int = 0) -> list[Run]:
    """Runs that cover all pairs of values, greedily; runs that are too large are left out."""
    rng = np.random.default_rng(seed)
    names = list(FACTORS)
    missing = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(range(len(names)), 2)
        for i in range(len(FACTORS[names[a]]))
        for j in range(len(FACTORS[names[b]]))
    }

    def pairs(levels: tuple[int, ...]) -> set[tuple[tuple[int, int], tuple[int, int]]]:
        return set(itertools.combinations(enumerate(levels), 2))

    def run_of(levels: tuple[int, ...]) -> Run:
        return Run(*(FACTORS[name][k] for name, k in zip(names, levels, strict=True)))  # type: ignore[arg-type]

    runs: list[Run] = []
    while missing:
        tries = [
            tuple(int(rng.integers(len(FACTORS[name]))) for name in names) for _ in range(3000)
        ]
        tries = [levels for levels in tries if run_of(levels).work <= _LARGE]
        best = max(tries, key=lambda levels: len(pairs(levels) & missing))
        if not pairs(best) & missing:
            break
        missing -= pairs(best)
        runs.append(run_of(best))
    defaults = (
        Run(d, "auto", "auto", n, kind, 1.0, 1.0)
        for d, n, kind in itertools.product((1, 2, 10, 64, 256), (100, 1000), FACTORS["kind"])
    )
    return runs + [run for run in defaults if run not in runs]


def points(run: Run, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of a kind of data, in its unit."""
    d, shape = run.d, np.random.default_rng(7)
    match run.kind:
        case "gauss":
            x = rng.normal(size=(count, d))
        case "clusters":
            centres = 3 * shape.normal(size=(10, d))
            x = centres[rng.integers(10, size=count)] + 0.1 * rng.normal(size=(count, d))
        case "heavy":
            x = rng.normal(size=(count, d)) / np.sqrt(rng.chisquare(2, size=(count, 1)) / 2)
        case "sparse":
            x = (rng.random((count, d)) < shape.beta(0.3, 3, size=d)).astype(float)
        case _:
            rank = max(1, d // 20)
            x = rng.normal(size=(count, rank)) @ shape.normal(size=(rank, d)) / np.sqrt(rank)
            x += 0.05 * rng.normal(size=(count, d))
    return (run.unit * x).astype(np.float32)


def mean_distance(x: np.ndarray, y: np.ndarray, exponent: float) -> float:
    """Of |x - y|^r over all pairs, in blocks."""
    from scipy.spatial.distance import cdist

    total = 0.0
    for start in range(0, len(x), 500):
        block = cdist(x[start : start + 500].astype(float), y.astype(float))
        total += float(np.sum(block**exponent))
    return total / len(x) / len(y)


def measured(run: Run) -> dict[str, object]:
    """The row of one run."""
    rng = np.random.default_rng(1)
    m = run.target_points
    target, held_out = points(run, m, rng), points(run, max(2000, run.n), rng)
    own = mean_distance(held_out, held_out, run.exponent)

    def energy(x: np.ndarray) -> float:
        across = mean_distance(x, held_out, run.exponent)
        return 2 * across - mean_distance(x, x, run.exponent) - own

    floor = float(np.mean([energy(points(run, run.n, rng)) for _ in range(3)]))
    middle = np.mean(target, axis=0)
    radius = np.sqrt(np.median(np.sum((target - middle) ** 2, axis=1)) / run.d) or run.unit
    start = middle + radius * (1 + 1.7 * rng.uniform(-1, 1, size=(run.n, run.d)))
    flow = ef.ParticleFlow(
        target, exponent=run.exponent, n_projections=run.slices, momentum=run.momentum, rng=0
    )
    before = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = flow.run(start.astype(np.float32), STEPS, progress=False)
    seconds = time.process_time() - before
    first, end = energy(start), energy(np.asarray(result.particles))
    told = any(issubclass(w.category, ef.FlowWarning) for w in caught)
    return {
        **{name: getattr(run, name) for name in FACTORS},
        "start": first, "end": end, "floor": floor, "ratio": end / floor,
        "arrived": result.arrived, "warned": told, "noise": result.noise, "cpu_seconds": seconds,
    }  # fmt: skip


def rows(runs: list[Run]) -> Iterator[dict[str, object]]:
    """Those of all runs, printed as they come."""
    for k, run in enumerate(runs):
        row = measured(run)
        print(
            f"{k + 1}/{len(runs)} " + " ".join(f"{name}={row[name]}" for name in FACTORS),
            f"ratio={row['ratio']:.3g} warned={row['warned']} cpu={row['cpu_seconds']:.1f}",
            flush=True,
        )
        yield row


def summary(table: list[dict[str, object]]) -> str:
    """What is shown, as Markdown."""

    def is_default(row: dict[str, object]) -> bool:
        return row["slices"] == "auto" and row["momentum"] == "auto"

    def near(row: dict[str, object]) -> bool:
        return float(row["ratio"]) <= 1.5  # type: ignore[arg-type]

    default = [row for row in table if is_default(row)]
    given = [row for row in table if not is_default(row)]
    arrived = [row for row in table if near(row)]
    lines = [
        "# Flows by default, and with given slices and momenta",
        "",
        f"`python -m benchmarks.flow_defaults`: {len(table)} runs of {STEPS} steps, target and "
        "directions with seed 1 and 0.",
        "",
        "| | runs | |",
        "|---|---|---|",
        f"| nothing given: at most 1.5 times the floor | {len(default)} | "
        f"{sum(map(near, default))} |",
        f"| nothing given: warned | {len(default)} | {sum(bool(r['warned']) for r in default)} |",
        f"| slices or momentum given: at most 1.5 times the floor, or warned | {len(given)} | "
        f"{sum(near(r) or bool(r['warned']) for r in given)} |",
        f"| ended above the start | {len(table)} | "
        f"{sum(float(r['end']) > float(r['start']) for r in table)} |",  # type: ignore[arg-type]
        f"| at most 1.5 times the floor, but warned | {len(arrived)} | "
        f"{sum(bool(r['warned']) for r in arrived)} |",
        "",
        "Runs that end farther than 1.5 times the floor:",
        "",
        "| d | slices | momentum | N | data | unit | r | end / floor | warned |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(table, key=lambda r: (not is_default(r), -float(r["ratio"]))):  # type: ignore[arg-type]
        if not near(row):
            values = " | ".join(str(row[name]) for name in FACTORS)
            told = "yes" if row["warned"] else "no"
            lines.append(f"| {values} | {row['ratio']:.3g} | {told} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run all, or every k-th run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--every", type=int, default=1, help="only every so many runs")
    parser.add_argument("--most", type=float, default=_LARGE, help="leave out larger runs")
    given = parser.parse_args()
    runs = sorted(design()[:: given.every], key=lambda run: run.work)
    runs = [run for run in runs if run.work <= given.most]
    path = given.out / "flow_defaults.csv"
    table: list[dict[str, object]] = []
    for row in rows(runs):
        table.append(row)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(table)
        notes = [
            f"- {name}: {value}"
            for name, value in record("cpu", [0, 1], "python -m benchmarks.flow_defaults").items()
        ]
        (given.out / "flow_defaults.md").write_text("\n".join([summary(table), *notes, ""]))


if __name__ == "__main__":
    main()
