"""How good samples of posteriors are: known ones, and images.

Writes posterior.csv and posterior.md; experiments that are not run keep their rows.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import astuple, fields
from itertools import groupby
from pathlib import Path

from .machine import record
from .posterior_images import EXPERIMENTS as IMAGES
from .posterior_known import EXPERIMENTS as KNOWN
from .posterior_known import Row

RESULTS = Path(__file__).parent / "results"
_COLUMNS = tuple(field.name for field in fields(Row))


def main() -> None:
    experiments = KNOWN | IMAGES
    parser = argparse.ArgumentParser(prog="python -m benchmarks.posterior", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(experiments)} (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.add_argument("--material", type=Path, help="folder with the slices train/ and test/")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(experiments)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or experiments:
        if name == "superresolution" and arguments.material is None:
            print("superresolution is left out: it needs --material")
            continue
        given = {"material": arguments.material} if name == "superresolution" else {}
        rows = list(experiments[name](arguments.seed, arguments.quick, arguments.out, **given))
        for row in rows:
            print(f"{row.experiment}: {row.method}: {row.measure} = {row.value:.4g}", flush=True)
        write(arguments.out, rows)


def write(folder: Path, new: list[Row]) -> None:
    """Join rows to those that are there, in place of rows of the same experiment and seed."""
    path = folder / "posterior.csv"
    rows = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [_read(line) for line in csv.DictReader(file)]
    replaced = {(row.experiment, row.seed) for row in new}
    rows = [row for row in rows if (row.experiment, row.seed) not in replaced] + new
    rows.sort(key=lambda row: (row.experiment, row.seed))
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(astuple(row) for row in rows)
    (folder / "posterior.md").write_text("\n".join(_markdown(rows)))


def _read(line: dict[str, str]) -> Row:
    return Row(
        line["experiment"], line["method"], int(line["seed"]), line["measure"],
        float(line["value"]), line["note"],
    )  # fmt: skip


def _markdown(rows: list[Row]) -> list[str]:
    """A table for each experiment: a line for each method and seed, a column for each measure."""
    lines = ["# Posteriors", "", *(f"- {k}: {v}" for k, v in record("cpu", 0).items()), ""]
    for experiment, group in groupby(rows, key=lambda row: row.experiment):
        here = list(group)
        measures = list(dict.fromkeys(row.measure for row in here))
        lines += [f"## {experiment}", "", f"| method | seed | {' | '.join(measures)} |"]
        lines.append("|---|---:|" + "---:|" * len(measures))
        for method, seed in dict.fromkeys((row.method, row.seed) for row in here):
            own = {r.measure: r.value for r in here if (r.method, r.seed) == (method, seed)}
            cells = [f"{own[m]:.4g}" if m in own else "" for m in measures]
            lines.append(f"| {method} | {seed} | {' | '.join(cells)} |")
        notes = dict.fromkeys(f"- seed {row.seed}: {row.note}" for row in here if row.note)
        lines += ["", *notes, ""]
    return lines


if __name__ == "__main__":
    main()
