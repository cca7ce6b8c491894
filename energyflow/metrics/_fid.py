"""The Fréchet inception distance, for those who have the network's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from energyflow_backends import ArrayLike, Floats, to_host

from .._core.devices import as_device
from .._core.extras import need
from ._points import as_images


def fid(
    samples: ArrayLike,
    real: ArrayLike,
    weights: str | os.PathLike[str] | Any,
    *,
    feature: int = 2048,
    batch_size: int = 64,
    device: str = "cpu",
) -> float:
    """Fréchet inception distance between two sets of images, by torchmetrics.

    The formula is that of `frechet_distance`, on features of an Inception network.

    Parameters
    ----------
    samples, real : arrays (n, C, H, W)
        Images in [0, 1], gray or RGB.
    weights : path or torch.nn.Module
        File of the Inception network's weights in torch-fidelity's format (nothing is
        downloaded), or another network from images (n, 3, H, W) in [0, 1] to features (n, f),
        with an attribute `num_features`.
    feature : int
        Layer of the Inception network by the number of its features: 64, 192, 768 or 2048.
    batch_size : int
        Images in the network at once.
    device : str
        Where torch computes.

    Returns
    -------
    float

    Raises
    ------
    ModuleNotFoundError
        If torchmetrics, or for a file of weights torch-fidelity, is not installed.
    FileNotFoundError
        If there is no file of weights.
    TypeError, ValueError
        If arguments are no images in [0, 1] of one shape.

    Notes
    -----
    Biased upwards, the more the smaller the sets; figures in papers use 50,000 samples.

    References
    ----------
    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NeurIPS 2017.
    """
    sets = [(_check_images("samples", samples), False), (_check_images("real", real), True)]
    path = Path(weights) if isinstance(weights, str | os.PathLike) else None
    for module in ("torchmetrics",) if path is None else ("torchmetrics", "torch_fidelity"):
        need(module, "fid", install="'torchmetrics[image]'")
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    place = as_device(device)
    network = {"feature": weights}
    if path is not None:
        network = {"feature": feature, "feature_extractor_weights_path": str(path)}
    metric = FrechetInceptionDistance(normalize=True, **network).to(place)
    for images, is_real in sets:
        for start in range(0, len(images), batch_size):
            batch = torch.as_tensor(images[start : start + batch_size], device=place)
            metric.update(batch.float().expand(-1, 3, -1, -1), real=is_real)
    return float(metric.compute())


def _check_images(name: str, images: Any) -> Floats:
    images = as_images(name, images)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"{name} must have shape (n, 1 or 3, H, W), got {tuple(images.shape)}")
    if images.shape[0] < 2:
        raise ValueError(f"{name} must hold at least 2 images, got {images.shape[0]}")
    array = to_host(images)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"{name} must lie in [0, 1], got numbers from {array.min():g} to {array.max():g}"
        )
    return array
