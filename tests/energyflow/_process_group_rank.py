"""One of two processes as torchrun starts them; test_process_group.py runs it as
``python _process_group_rank.py FOLDER``, and finds FOLDER/told<RANK>.json.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import energyflow as ef
from energyflow.distributed import gather, shard, sharded

RANK = int(os.environ.get("RANK", "0"))


def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 1


X, Y = points()
WEIGHTS = np.full(40, 1 / 40)
distance = ef.sliced_energy_distance

# what must agree in both ways of sharing, and what each process gives
DIFFERENT: dict[str, Callable[[], Any]] = {
    "dtype": lambda: ef.sliced_energy_value_and_gradient(
        *(v.astype(("f4", "f8")[RANK]) for v in (X, Y)), rng=0
    ),
    "exponent": lambda: distance(X, Y, exponent=1 + RANK / 2**52, rng=0),
    "estimator": lambda: distance(X, Y, estimator="VU"[RANK], rng=0),
    "wrt": lambda: (distance, ef.sliced_energy_gradient)[RANK](X, Y, rng=0),
    "projections": lambda: distance(X, Y, n_projections=8 + RANK, rng=0),
    "chunk_size": lambda: distance(X, Y, chunk_size=8 + RANK, rng=0),
    "d": lambda: distance(X[:, : 2 + RANK], Y[:, : 2 + RANK], rng=0),
    "batch": lambda: distance(np.stack([X] * (1 + RANK)), Y, rng=0),
    "weights": lambda: distance(X, Y, a=(None, WEIGHTS)[RANK], rng=0),
}  # fmt: skip
OF_SLICES = {
    "n": lambda: distance(X[: 20 + RANK], Y, rng=0),
    "m": lambda: distance(X, Y[: 20 + RANK], rng=0),
}
OF_PARTICLES = {
    "shape of rows": lambda: gather(X[:, : 2 + RANK]),
    "array": lambda: gather(X.astype(("f4", "f8")[RANK])),
}


def blocks() -> list[float]:
    """Distances in one block after the other, of both kinds and with some other timeouts."""
    found = []
    for k in range(10):
        what = ("slices", "particles")[k % 2]
        with sharded(what, timeout=30 + (k > 5)):
            found.append(float(distance(shard(X), shard(Y), n_projections=8, rng=0)))
    return found


def errors(what: str, cases: dict[str, Callable[[], Any]]) -> dict[str, str]:
    """What is told; each error ends a block, and the next one is none the worse."""
    told = {}
    for name, run in cases.items():
        try:
            with sharded(what, timeout=30):
                run()
        except (ValueError, TypeError) as error:
            told[f"{what}/{name}"] = f"{type(error).__name__}: {error}"
    return told


def alone_in_an_error() -> list[str]:
    """One process leaves a block by an error: the other need not wait, and both go on."""
    told = []
    for fails in (True, False):
        try:
            with sharded(timeout=30):
                if fails and RANK == 1:
                    raise KeyError("mine")
                distance(X, Y, rng=0)
                told.append("done")
        except (KeyError, RuntimeError) as error:
            told.append(type(error).__name__)
    return told


def gathered() -> list[Any]:
    """Numbers in the other order of bytes."""
    with sharded("particles", timeout=30):
        whole = gather(shard(X.astype(X.dtype.newbyteorder())))
        return [] if whole is None else whole.tolist()


def main() -> None:
    told = {
        "blocks": blocks(),
        **errors("slices", DIFFERENT | OF_SLICES),
        **errors("particles", DIFFERENT | OF_PARTICLES),
        **errors("particles", {"text": lambda: gather(X.astype("S3"))}),
        "alone": alone_in_an_error(),
        "gathered": gathered(),
    }
    Path(sys.argv[1], f"told{RANK}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
