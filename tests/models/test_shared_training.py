"""Processes that share the training of a model give the model of one process."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from _training_rank import MODELS, train, train_shared
from forked import forked

from energyflow.distributed import sharded
from energyflow.models import RunFolder, load


def run(size: int, folder: Path, stop_after: str | None = None) -> None:
    """Train in so many processes."""
    ranks = [(rank, size, folder, stop_after) for rank in range(size)]
    forked(train_shared, ranks, folder)


def losses(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "log.csv").open() as handle:
        return [(row["step"], row["loss"], row["distance"]) for row in csv.DictReader(handle)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs of two processes, and of two up to the second stage that three went on with."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "whole").mkdir()
    (folder / "parts").mkdir()
    run(2, folder / "whole")
    run(2, folder / "parts", "25 steps")
    run(3, folder / "parts")
    return folder


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_of_one_process(tmp_path, folder, kind: str) -> None:
    train(kind, tmp_path / kind)
    one = RunFolder(tmp_path / kind).weights()
    for way in ("whole", "parts"):
        shared = RunFolder(folder / way / kind).weights()
        assert shared.keys() == one.keys()
        for name, wanted in one.items():
            error = (shared[name] - wanted).float().norm() / (wanted.float().norm() + 1e-6)
            assert error <= 5e-3, name  # flow and Adam make the most of a rounding
        rows = losses(folder / way / kind)
        assert [row[0] for row in rows] == [row[0] for row in losses(tmp_path / kind)]
        for mine, its in zip(rows, losses(tmp_path / kind), strict=True):
            pairs = ((float(a or 0), float(b or 0)) for a, b in zip(mine, its, strict=True))
            assert all(a == pytest.approx(b, rel=2e-3, abs=1e-5) for a, b in pairs)
        assert load(folder / way / kind).n_trained == 3
        assert not list((folder / way / kind).rglob("*.part*"))


def test_what_cannot_be_shared(tmp_path) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with sharded("particles"), pytest.raises(ValueError, match="models need all points"):
            train("dmmd", tmp_path / "run")
    finally:
        dist.destroy_process_group()
