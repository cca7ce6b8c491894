"""Every loader as a function of the bytes of a file.

A file is read, or refused by a ValueError, TypeError or OSError that names it. Nothing else may
happen: no other error, no file beside it, no code of its own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from . import seeds

REFUSALS = (ValueError, TypeError, OSError)


@dataclass(frozen=True)
class Target:
    """What reads a file of that name; the first of `others` lie beside it."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    others: Callable[[], dict[str, bytes]] = dict

    def __call__(self, content: bytes) -> bool:
        """Whether the content was read, and not refused."""
        folder = _top() / f"folder-{id(self)}"
        path = folder / self.name
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, other in self.others().items():
                (folder / name).write_bytes(other)
        path.write_bytes(content)
        before = _listed(folder.parent, but=path)
        try:
            self.read(path)
            return True
        except REFUSALS as error:
            told = _told(error)
            assert any(name in told for name in (path.name, folder.name)), f"unnamed: {told}"
            return False
        finally:
            assert _listed(folder.parent, but=path) == before, "a file was written"


def _told(error: Exception) -> str:
    return f"{error} {getattr(error, 'filename', '')}"


@cache
def _top() -> Path:
    memory = Path("/dev/shm")
    fast = memory.is_dir() and "TMPDIR" not in os.environ
    top = tempfile.mkdtemp(prefix="fuzz", dir=memory if fast else None)
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    return Path(top) / "top"


def _listed(folder: Path, but: Path) -> list[tuple[str, int]]:
    """All files with the times of their last change."""
    files = [path for path in folder.rglob("*") if path.is_file() and path != but]
    return sorted((str(path), path.stat().st_mtime_ns) for path in files)


def _arrays(path: Path) -> None:
    from energyflow import datasets
    from energyflow._core.files import load_array

    errors = []
    for read in (load_array, datasets.load):
        try:
            assert isinstance(read(path), np.ndarray | datasets.Dataset)
        except REFUSALS as error:
            errors.append(error)
    unnamed = [error for error in errors if path.name not in _told(error)]
    if unnamed or len(errors) == 2:
        raise (unnamed or errors)[0]


def _csv(path: Path) -> None:
    from energyflow._core.files import load_array

    assert load_array(path).dtype == np.float64


def _dataset(path: Path) -> None:
    from energyflow import datasets

    datasets.load(path.parent)


def _tensors(path: Path) -> None:
    from energyflow.models.training.run_folder import read_tensors

    read_tensors(path)


def _flow(path: Path) -> None:
    import energyflow as ef

    result = ef.FlowResult.load(path)
    target = np.random.default_rng(0).normal(size=(5, 2))
    repr(result)
    sliced, kale = seeds.flows_to(target)
    try:
        (kale if "regularization" in result.state else sliced).run(result, 1, progress=False)
    except (ef.FlowDiverged, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _monitor(path: Path) -> None:
    import energyflow as ef

    ef.EnergyMonitor.load(path).score(np.zeros((2, 2)))


def _table(path: Path) -> None:
    from energyflow._core.tables.csv_files import read_csv_table

    table = read_csv_table(path, missing="drop")
    assert table.values.shape == (len(table), len(table.columns))


def _problem(path: Path) -> None:
    from energyflow import inverse

    read = inverse.Problem.from_toml if path.suffix == ".toml" else inverse.Problem.load
    problem = read(path)
    repr(problem)
    problem.settings()


def _model(path: Path) -> None:
    import torch

    from energyflow import inverse, models

    torch.set_num_threads(1)
    posterior = (path.parent / "problem.json").exists()
    seen = np.array([1.0], np.float32)
    try:
        if posterior:
            inverse.PosteriorFlow.load(path.parent).sample(seen, 2, rng=0)
        else:
            model = models.load(path.parent)
            few = {"n_levels": 1, "n_steps": 1, "denoise": 1} if model.kind == "dmmd" else {}
            labelled = models.RunFolder(path.parent).settings().get("condition") is not None
            model.sample(2, 0 if labelled else None, rng=0, **few)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _log(path: Path) -> None:
    from energyflow.models.training.log import Log

    Log(path.parent, ("distance",), 5, 1).close()


def _spread(path: Path) -> None:
    from energyflow._slices.spread_store import _read

    found = _read(path, (5, 3))
    assert found is None or np.allclose(np.linalg.norm(found, axis=1), 1)


def _model_target(kind: str, name: str) -> Target:
    def files() -> dict[str, bytes]:
        return seeds.run_files(kind)

    return Target(name, lambda: [files()[name]], _model, files)


def _images_beside() -> dict[str, bytes]:
    return {"a.png": seeds.images()[0], "b.png": seeds.images()[0]}


def _idx_beside() -> dict[str, bytes]:
    labels = b"\0\0\x08\x01\0\0\0\x02\0\1"
    return {
        "t10k-images-idx3-ubyte.gz": seeds.idx()[1], "train-labels-idx1-ubyte": labels,
        "t10k-labels-idx1-ubyte": labels,
    }  # fmt: skip


TARGETS: dict[str, Target] = {
    "npy": Target("x.npy", seeds.npy, _arrays),
    "npz": Target("x.npz", seeds.npz, _arrays),
    "csv": Target("x.csv", seeds.csv, _csv),
    "idx": Target("train-images-idx3-ubyte", seeds.idx, _dataset, _idx_beside),
    "cifar": Target(
        "data_batch_1.bin", seeds.cifar, _dataset, lambda: {"test_batch.bin": seeds.cifar()[0]}
    ),
    "image": Target("c.png", seeds.images, _dataset, _images_beside),
    "safetensors": Target("x.safetensors", seeds.safetensors, _tensors),
    "flow": Target("flow.npz", seeds.flows, _flow),
    "monitor": Target("monitor.npz", seeds.monitors, _monitor),
    "table": Target("table.csv", seeds.csv, _table),
    "toml": Target("problem.toml", seeds.toml, _problem, lambda: {"seen.npy": seeds.npy()[2]}),
    "problem": Target("problem.json", lambda: seeds.settings()[:1], _problem),
    "settings-flow": _model_target("flow", "settings.json"),
    "settings-matching": _model_target("flow-matching", "settings.json"),
    "settings-dmmd": _model_target("dmmd", "settings.json"),
    "weights-flow": _model_target("flow", "weights.safetensors"),
    "weights-dmmd": _model_target("dmmd", "weights.safetensors"),
    "posterior-guess": _model_target("posterior", "guess.json"),
    "posterior-parameters": _model_target("posterior", "parameters.npz"),
    "posterior-regression": _model_target("posterior", "regression.npz"),
    "posterior-components": _model_target("posterior", "components.npz"),
    "posterior-scores": _model_target("posterior-matching", "scores.npz"),
    "log": Target("log.csv", seeds.logs, _log),
    "spread": Target("spread-1-3x5.float64", seeds.spread, _spread),
}
