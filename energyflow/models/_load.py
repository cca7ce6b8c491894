"""Trained models from their folders, whatever model they hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ._base import Model
from .dmmd.model import DMMD
from .flow_generator.model import FlowGenerator
from .flow_matching.model import FlowMatching
from .training.run_folder import SETTINGS, RunFolder

MODELS: dict[str, type[Model[Any]]] = {
    kind.kind: kind for kind in (FlowGenerator, DMMD, FlowMatching)
}


def load(
    folder: str | os.PathLike[str],
    *,
    network: nn.Module | None = None,
    embedding: nn.Module | None = None,
    device: str | torch.device | None = None,
) -> Model[Any]:
    """Read the model in a run's folder; its settings say which one it is.

    Parameters
    ----------
    folder : path
        Of the run.
    network, embedding : Module, optional
        Of the same layers, where the model was trained with one of the user's own.
    device : str or device, optional
        Where to put it; CUDA if there is one, else the CPU.

    Returns
    -------
    Model
        A `FlowGenerator`, a `DMMD` or a `FlowMatching`.

    Raises
    ------
    OSError, ValueError
        There is no such run, it is damaged, or holds a model that is not known here.
    """
    name = RunFolder(folder).settings().get("model")
    if not isinstance(name, str) or name not in MODELS:
        raise ValueError(
            f"{Path(folder) / SETTINGS}: expected one of the models {', '.join(MODELS)}, "
            f"got {name!r}"
        )
    return MODELS[name].load(folder, network=network, embedding=embedding, device=device)
