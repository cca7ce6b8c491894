"""Damage by atheris, guided by coverage: `python -m fuzz.process NAME FOLDER [of libFuzzer]`.

NAME is one of the targets, whose bytes are damaged, or NAME/entries for one that reads JSON, whose
entries are. FOLDER gets what was found: inputs that reach new code in `corpus`, those that break
something as `crash-*` and `timeout-*`, and in `counts` how many files were read and refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np
from hypothesis import HealthCheck, given, settings

from .damage import odd_json
from .targets import TARGETS


def prepared(name: str, folder: Path) -> Callable[[bytes], object]:
    """What takes the bytes that atheris makes up; what it imports of energyflow is instrumented."""
    target_name, _, entries = name.partition("/")
    target = TARGETS[target_name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["energyflow"]):
        for number, content in enumerate(target.seeds()):
            target(content)
            if not entries:
                (corpus / f"seed-{number}").write_bytes(content)
    # In a file, because libFuzzer ends the process without a word to Python.
    counts = np.memmap(folder / "counts", np.int64, "w+", shape=(2,))

    def counted(content: bytes) -> None:
        counts[0 if target(content) else 1] += 1

    if not entries:
        return counted
    calm = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    return calm(given(odd_json(target.seeds()))(counted)).hypothesis.fuzz_one_input


if __name__ == "__main__":
    found = Path(sys.argv[2])
    take = prepared(sys.argv[1], found)
    options = [
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
    ]
    atheris.Setup([sys.argv[0], *options, *sys.argv[3:], str(found / "corpus")], take)
    atheris.Fuzz()
