"""All methods on the CPU at all shapes, and how time and memory grow with N.

Writes cpu.csv, cpu.md, cpu.svg, scaling.csv and scaling.svg; see docs/benchmarks/index.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import plots, tables
from .machine import n_threads, record, use_threads
from .measure import Call, Method, Row, fitted_exponent, measure
from .memory import HostMemory
from .methods import METHODS
from .shapes import CPU, MAX_EXPONENT, SCALING, Shape, max_scaling_bytes
from .timing import host_clock

RESULTS = Path(__file__).parent / "results"
SCALED = ("energyflow", "papers", "floor")


def main() -> None:
    arguments = _arguments()
    use_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seed, seconds = arguments.seed, arguments.seconds
    wanted = METHODS["cpu"] if arguments.methods is None else arguments.methods.split(",")
    with HostMemory(n_threads()) as host:

        def memory(method: Method, shape: Shape, call: Call) -> int | None:
            return host.peak_bytes(method.name, shape, seed)

        def rows_at(shapes: tuple[Shape, ...], names: list[str]) -> list[Row]:
            rows = []
            for shape in shapes:
                if arguments.shrink > 1:  # targets are for the shapes as they stand
                    shape = Shape(max(2, shape.n // arguments.shrink), shape.d, shape.p)
                print(f"(N, d, P) = {shape}", flush=True)
                rows += measure(
                    shape, "cpu", host_clock, memory, seed=seed, seconds=seconds, names=names
                )
            return rows

        compared = rows_at(CPU, list(wanted))
        scaled = rows_at(SCALING, [name for name in SCALED if name in wanted])
    _write(arguments.out, compared, scaled, record("cpu", seed))
    wrong = [f"{row.method} at {row.shape}" for row in [*compared, *scaled] if row.wrong]
    if wrong:
        raise SystemExit("wrong or failed: " + ", ".join(wrong))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--threads", type=int, help="threads of every method (default: all CPUs)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time a method and shape")
    parser.add_argument("--seed", type=int, default=0, help="of data and directions")
    parser.add_argument("--methods", help="names, separated by commas (default: all)")
    parser.add_argument("--shrink", type=int, default=1, help="divide all N by this, for a trial")
    return parser.parse_args()


def _write(out: Path, compared: list[Row], scaled: list[Row], about: dict[str, str]) -> None:
    tables.write_csv(out / "cpu.csv", compared, about)
    tables.write_csv(out / "scaling.csv", scaled, about)
    plots.plot_methods(out / "cpu.svg", compared)
    plots.plot_scaling(out / "scaling.svg", scaled)
    lines = tables.markdown("CPU", compared, about)
    lines += ["## Growth with N at d = 2, P = 32", "", *_growth(scaled), ""]
    text = "\n".join(lines)
    (out / "cpu.md").write_text(text)
    print(text)


def _growth(rows: list[Row]) -> list[str]:
    lines = ["| method | N = M | ms | peak extra MiB |", "|---|---:|---:|---:|"]
    for row in rows:
        if row.seconds is not None:
            extra = "" if row.extra_bytes is None else f"{row.extra_bytes / 2**20:.1f}"
            lines.append(f"| {row.method} | {row.shape.n} | {1000 * row.seconds:.3g} | {extra} |")
    ours = [row for row in rows if row.method == "energyflow" and row.seconds is not None]
    if not ours:
        return lines
    exponent = fitted_exponent(ours)
    verdict = "met" if exponent <= MAX_EXPONENT else "not met"
    lines += ["", f"- {verdict}: time grows like N^{exponent:.3f} (wanted: at most {MAX_EXPONENT})"]
    known = [(row.extra_bytes, max_scaling_bytes(row.shape)) for row in ours if row.extra_bytes]
    if known:
        verdict = "met" if all(extra <= limit for extra, limit in known) else "not met"
        share = max(extra / limit for extra, limit in known)
        lines.append(
            f"- {verdict}: peak extra memory is at most {share:.2f} of 64 MiB plus twice the output"
        )
    return lines


if __name__ == "__main__":
    main()
