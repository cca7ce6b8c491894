"""Samples of a trained deep MMD flow, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._networks import in_parts
from .._weights import Tensors, prefixed
from .features import Features
from .sampler import FeaturesAt, Sampler
from .settings import DMMDSettings, Sampling

_ROUGH = Sampling(n_levels=5, n_steps=2, denoise=5)  # for validation between rounds
REFERENCE, LABELS = "data.reference", "data.reference_labels"


@dataclass(frozen=True)
class ClassFlows:
    """Features, and the data (M, *shape) that particles are compared with, by their labels (M,)."""

    features: Features
    reference: Tensor
    labels: Tensor | None
    settings: DMMDSettings
    device: torch.device
    n_trained: int

    @property
    def module(self) -> nn.Module:
        """The network of the features."""
        return self.features

    def draw(
        self,
        n: int,
        condition: Tensor | None,
        rng: np.random.Generator,
        how: Sampling = Sampling(),  # noqa: B008 (it is frozen)
    ) -> Tensor:
        """Samples, in the units of the networks."""
        reference = self.reference.to(self.device)
        if condition is None or self.labels is None:
            return Sampler(self._at(None), reference, self.settings, how).draw(n, rng)
        classes, known = condition.argmax(1), self.labels.to(self.device)
        samples = torch.empty(n, *reference.shape[1:], device=self.device)
        for label in sorted(set(classes.tolist())):
            code = functional.one_hot(torch.tensor(label), condition.shape[1]).float()
            features = self._at(code.to(self.device))
            sampler = Sampler(features, reference[known == label], self.settings, how)
            rows = classes == label
            samples[rows] = sampler.draw(int(rows.sum()), rng)
        return samples

    def preview(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Rougher samples."""
        return self.draw(n, condition, rng, _ROUGH)

    def tensors(self) -> Tensors:
        """For a file of weights."""
        labels = {} if self.labels is None else {LABELS: self.labels}
        networks = prefixed(f"networks.{self.n_trained - 1}", self.features.state_dict())
        return networks | {REFERENCE: self.reference} | labels

    def _at(self, code: Tensor | None) -> FeaturesAt:
        """Features as a function of points and one time, with the code of a label (classes,)."""

        def features(points: Tensor, time: float) -> Tensor:
            times = torch.full((len(points),), time, device=points.device)
            codes = [] if code is None else [code.expand(len(points), -1)]
            return in_parts(self.features, points, times, *codes)

        return features
