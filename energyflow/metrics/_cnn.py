"""A small convolutional network for images, by torch."""

from __future__ import annotations

import numpy as np
from energyflow_backends import Doubles, Floats, Integers

from .._core.devices import as_device
from .._core.extras import need

need("torch", "the convolutional classifier", "models")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

BATCH = 100
CHANNELS = (16, 32, 64)
SIDE = 4  # of the maps after the last convolution
FEATURES = 64


class ConvolutionalNetwork:
    """Three convolutions, each followed by pooling, and a layer of 64 features.

    Trained by AdamW, whose step size falls to zero along a cosine, on some 240,000 images: 4
    passes over MNIST, which give 99% of its test digits their labels, at most 40 over small data.
    """

    def __init__(self, images: Floats, labels: Integers, seed: int, device: str) -> None:
        self._classes, targets = np.unique(labels, return_inverse=True)
        self._device = as_device(device)
        generator = torch.Generator().manual_seed(seed)
        self._body, self._head = _networks(images.shape[1], len(self._classes), generator)
        self._body.to(self._device)
        self._head.to(self._device)
        self._centre = float(images.mean())
        self._scale = float(images.std()) or 1.0
        self._train(images, torch.as_tensor(targets), generator)

    def predict(self, values: Floats) -> Integers:
        """The most likely label (n,) of each."""
        with torch.no_grad():
            features = torch.as_tensor(self.features(values), dtype=torch.float32)
            best = self._head(features.to(self._device)).argmax(dim=1).cpu().numpy()
        return np.asarray(self._classes[best])

    def features(self, values: Floats) -> Doubles:
        """The last hidden layer (n, 64)."""
        with torch.no_grad():
            batches = [
                self._body(self._standardised(values[start : start + BATCH])).cpu().double().numpy()
                for start in range(0, len(values), BATCH)
            ]
        return np.concatenate(batches)

    def _train(self, images: Floats, targets: Tensor, generator: torch.Generator) -> None:
        network = nn.Sequential(self._body, self._head)
        epochs = int(np.clip(240_000 // len(images), 3, 40))
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
        steps = epochs * -(-len(images) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(images), generator=generator), BATCH):
                logits = network(self._standardised(images[rows.numpy()]))
                loss = nn.functional.cross_entropy(logits, targets[rows].to(self._device))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()

    def _standardised(self, values: Floats) -> Tensor:
        scaled = (values.astype(np.float32) - self._centre) / self._scale
        return torch.as_tensor(scaled, device=self._device)


def _networks(
    channels: int, classes: int, generator: torch.Generator
) -> tuple[nn.Sequential, nn.Linear]:
    """From images to features, and from features to logits; torch's global state is not used."""
    with torch.device("meta"):
        layers: list[nn.Module] = []
        for before, after in zip((channels, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            layers += [nn.MaxPool2d(2, ceil_mode=True)]
        layers[-1] = nn.AdaptiveAvgPool2d(SIDE)
        hidden = nn.Linear(SIDE**2 * CHANNELS[-1], FEATURES)
        body = nn.Sequential(*layers, nn.Flatten(), hidden, nn.ReLU())
        head = nn.Linear(FEATURES, classes)
    for module in (*body.to_empty(device="cpu"), head.to_empty(device="cpu")):
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return body, head
