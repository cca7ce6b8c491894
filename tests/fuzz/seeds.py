"""Good files, small and made by code, which are damaged to see what loaders do."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

_RNG = np.random.default_rng(0)
PROBLEM = {
    "operator": {"kind": "linear", "matrix": [[1.0, 1.0]]},
    "noise": {"kind": "gaussian", "std": 0.5},
}


def npy() -> list[bytes]:
    arrays = (
        np.zeros((2, 3)), np.arange(4, dtype=">i2"), np.asfortranarray(np.ones((2, 2), "<f4")),
        np.array(True), np.zeros((0, 3), "f2"),
    )  # fmt: skip
    return [_saved(np.save, array) for array in arrays]


def npz() -> list[bytes]:
    x, y = np.ones((4, 3), np.float32), np.arange(4) % 2
    odd = io.BytesIO()
    with zipfile.ZipFile(odd, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("../x.npy", npy()[0])
    return [
        _saved(np.savez, x), _saved(np.savez, x=x, y=y), _saved(np.savez_compressed, x=x, y=y),
        _saved(np.savez, train=x, test=x, train_labels=y, test_labels=y), odd.getvalue(),
    ]  # fmt: skip


def csv() -> list[bytes]:
    return [b"1,2\n3,4\n", b'\xef\xbb\xbfa,"b"\r\n1e3,-0.5\r\n\r\nnan,inf\r\n', b"1\n2\n"]


def idx() -> list[bytes]:
    plain = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 3) + bytes(range(18))
    return [plain, gzip.compress(plain)]


def cifar() -> list[bytes]:
    return [b"".join(bytes([label]) + bytes(3072) for label in (0, 9))]


def images() -> list[bytes]:
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6
    found = []
    for mode, kind in (("L", "PNG"), ("RGB", "JPEG"), ("I;16", "PNG"), ("P", "PNG"), ("1", "PNG")):
        pixels = _RNG.integers(255, size=(5, 4, 3) if mode == "RGB" else (5, 4), dtype=np.uint8)
        image = Image.fromarray(pixels.astype(np.uint16) if mode == "I;16" else pixels)
        image = image.convert(mode) if mode in "P1" else image
        found.append(_saved(partial(image.save, format=kind, exif=turned)))
    found.append(_saved(partial(image.save, format="JPEG", progressive=True, exif=turned)))
    return found


def safetensors() -> list[bytes]:
    from safetensors.numpy import save

    return [save({"a": np.ones((2, 3), np.float32), "b.c": np.arange(3)}), save({})]


def flows_to(target: np.ndarray) -> list:
    import energyflow as ef

    return [
        ef.ParticleFlow(target, n_projections=2, rng=0),
        ef.KALEFlow(target, step_size=0.01, regularization=0.1),
    ]


def flows() -> list[bytes]:
    points = np.random.default_rng(0).normal(size=(5, 2))
    found = []
    for flow in flows_to(points):
        result = flow.run(points + 1, 2, progress=False)
        found.append(_written(result.save, "flow.npz"))
    return found


def monitors() -> list[bytes]:
    import energyflow as ef

    points = np.random.default_rng(0).normal(size=(6, 2))
    monitor = ef.EnergyMonitor(points, n_projections=3, n_resamples=9, rng=0)
    return [_written(monitor.save, "monitor.npz")]


def settings() -> list[bytes]:
    return [json.dumps(PROBLEM).encode(), run_files("flow")["settings.json"]]


def toml() -> list[bytes]:
    lines = (
        '[operator]\nkind = "linear"\nmatrix = [[1, 1.5]]\n[noise]\nkind = "gaussian"\nstd = 0.5\n',
        '[operator]\nkind = "blur-downsample"\nstd = 1.0\nsize = 4\nstride = 2\n'
        '[noise]\nkind = "poisson"\nphotons = 9.0\n',
        '[operator]\nkind = "radon"\nsize = 4\nangles = [0.0, 0.5]\n'
        '[noise]\nkind = "gaussian"\nstd = 1\n',
        '[operator]\nkind = "mask"\nseen = "seen.npy"\n[noise]\nkind = "gaussian"\nstd = 1.0\n',
    )
    return [line.encode() for line in lines]


def logs() -> list[bytes]:
    return [b"stage,step,seconds,loss,distance\n0,5,0.1,1.5,\n0,10,0.2,,0.25\n"]


def spread() -> list[bytes]:
    points = np.random.default_rng(0).normal(size=(5, 3))
    return [(points / np.linalg.norm(points, axis=1, keepdims=True)).tobytes()]


@cache
def run_files(kind: str) -> dict[str, bytes]:
    """The files of the folder of a small trained model, or of a sampler of posteriors."""
    from energyflow import inverse, models

    how = {"architecture": models.MLP(width=4, depth=1), "batch_size": 8}
    x = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    labels = np.arange(12) % 2
    flow = {"n_particles": 12, "n_projections": 2, "n_blocks": 1, "n_steps": 2}
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "model"
        matching = {"n_steps": 2, "n_rounds": 1, "sampling_steps": 2}
        if kind.startswith("posterior"):
            problem = inverse.Problem.from_settings(PROBLEM)
            settings = matching if kind.endswith("matching") else flow
            sampler = inverse.PosteriorFlow(
                problem, guess="regression", components=1.0, **settings, **how
            )
            sampler.fit(x, progress=False).save(folder)
        else:
            features = {"n_steps": 2, "n_rounds": 1, "n_features": 2, "levels_per_step": 2}
            model = {
                "flow": lambda: models.FlowGenerator(**flow, **how),
                "flow-matching": lambda: models.FlowMatching(**matching, **how),
                "dmmd": lambda: models.DMMD(**features, **how),
            }[kind]()
            model.fit(x, labels, progress=False).save(folder)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _saved(save: Callable[..., object], *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def _written(write: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as top:
        write(Path(top) / name)
        return (Path(top) / name).read_bytes()
