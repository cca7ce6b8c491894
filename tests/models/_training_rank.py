"""One of several processes that train together, which test_shared_training.py forks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from energyflow.distributed import sharded
from energyflow.models import DMMD, MLP, FlowGenerator, FlowMatching, Model

SHARED = {"architecture": MLP(width=8, depth=1), "seed": 3}
MODELS = {
    "flow": lambda: FlowGenerator(
        n_particles=100, n_projections=9, n_blocks=3, n_steps=20, batch_size=33, **SHARED
    ),
    "flow-matching": lambda: FlowMatching(
        n_steps=60, n_rounds=3, sampling_steps=4, batch_size=33, coupling="conditional-ot",
        ema=0.9, clip=1.0, **SHARED,
    ),
    "dmmd": lambda: DMMD(n_steps=60, n_rounds=3, n_features=4, batch_size=32, **SHARED),
}  # fmt: skip


def train(kind: str, out: Path, stop_after: str | None = None, **how) -> Model:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(80, 2)).astype(np.float32), rng.integers(2, size=80)
    with patch("energyflow._core.pictures.save_scatter"):  # drawing takes longer than training
        return MODELS[kind]().fit(
            points, labels, out=out, stop_after=stop_after, progress=False, **how
        )


def train_shared(rank: int, size: int, folder: Path, stop_after: str | None) -> None:
    """Train all models, with the other processes of the group."""
    import torch.distributed as dist

    store = dist.FileStore(f"{folder}/store{size}{stop_after}", size)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(minutes=5)
    )
    with sharded("slices"):
        for kind in MODELS:
            train(kind, folder / kind, stop_after, resume=True)
    dist.destroy_process_group()
