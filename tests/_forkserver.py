"""What the server of `forked.py` imports and compiles, once, as long as it has one thread."""

from __future__ import annotations

import contextlib
import importlib

import numpy as np

import energyflow as ef

for _name in (
    "energyflow.models", "energyflow.cli", "energyflow.inverse", "matplotlib.figure", "PIL.Image",
    "safetensors.numpy", "scipy.stats", "torch.distributed", "torch._dynamo", "array_api_strict",
    "jax.numpy", "pytest",
):  # fmt: skip
    with contextlib.suppress(ImportError):  # extras
        importlib.import_module(_name)

_points = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
for _wide in (_points, _points.astype(np.float64)):
    ef.ParticleFlow(_wide, rng=0).run(_wide, 2, progress=False)
    ef.sliced_energy_distance(_wide, _wide[:9], rng=0, estimator="U")
