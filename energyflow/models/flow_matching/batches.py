"""Batches of noise and data for flow matching, coupled so that conditions are kept."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from energyflow_backends import usable_threads
from numpy.typing import NDArray
from torch import Tensor

from ..._transport.coupling import conditional_coupling
from .._random import generator
from ..training.prefetch import Ahead
from .settings import FlowMatchingSettings

_MOST_THREADS = 4
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Noise and the data that it goes to, the condition on the way, and the times."""

    noise: Tensor  # (B, *shape)
    data: Tensor  # (B, *shape)
    condition: Tensor | None  # (B, *)
    time: Tensor  # (B,)
    shown: Tensor | None  # (B,), where conditions may be hidden


@dataclass(frozen=True)
class _Drawn:
    """What is drawn together for some steps, on the host: a row for each step."""

    noise: NDArray[np.float32]  # (S, B, *shape)
    data: Places  # (S, B), of the data
    condition: Places  # (S, B), of the data whose conditions are on the way
    time: NDArray[np.float32]  # (S, B)
    shown: NDArray[np.float32] | None  # (S, B)


class Batches:
    """A batch for each step, a function of the step and the settings alone.

    data : points (N, *shape) on the host.
    condition : of each (N, *), as networks see it.
    groups : whole numbers (N,), the classes that couplings must keep exactly.
    kept : the continuous conditions (N, m), which couplings weigh by beta; with a condition there
    are groups or these, or both.

    A coupling larger than a batch is of as many whole batches as it holds, and serves that many
    steps. Couplings are found by threads in the background while networks are trained.
    """

    def __init__(
        self,
        data: Tensor,
        condition: Tensor | None,
        options: FlowMatchingSettings,
        *,
        groups: Tensor | None = None,
        kept: Tensor | None = None,
        device: torch.device,
    ) -> None:
        self._flat = data.flatten(1).numpy()
        self._groups = None if groups is None else groups.numpy()
        self._kept = None if kept is None else kept.numpy()
        self._data = data.to(device)
        self._condition = None if condition is None else condition.to(device)
        self._options = options
        self._device = device
        self._minds = options.coupling == "conditional-ot" and condition is not None
        self._size = options.coupling_size or (256 if self._minds else 128)
        couples = options.coupling != "none"
        self._together = max(1, self._size // options.batch_size) if couples else 1
        self._ahead = Ahead(self._draw, min(usable_threads() // 2, _MOST_THREADS))
        self._last: tuple[int, _Drawn] | None = None

    def until(self, last: int) -> AbstractContextManager[None]:
        """Couple in the background while inside, up to the batch of the step before `last`."""
        return self._ahead.until(math.ceil(last / self._together))

    def __call__(self, step: int, part: slice = slice(None)) -> Batch:
        """The batch of a step, or a part of it."""
        number, row = divmod(step, self._together)
        if self._last is None or self._last[0] != number:
            self._last = number, self._ahead(number)
        drawn = self._last[1]
        condition = shown = None
        if self._condition is not None:
            condition = self._condition[self._tensor(drawn.condition[row, part])]
        if drawn.shown is not None:
            shown = self._tensor(drawn.shown[row, part])
        data = self._data[self._tensor(drawn.data[row, part])]
        noise, time = (self._tensor(v[row, part]) for v in (drawn.noise, drawn.time))
        return Batch(noise, data, condition, time, shown)

    def _draw(self, number: int) -> _Drawn:
        """All that is random in the steps that share a coupling."""
        options, shape = self._options, (self._together, self._options.batch_size)
        n = math.prod(shape)
        rng = generator(options.seed, "batch", step=number)
        places = rng.integers(len(self._flat), size=n)
        noise = rng.standard_normal((n, *self._data.shape[1:]), np.float32)
        time = (np.arange(shape[1]) + rng.random(shape)) / shape[1]
        shown = None
        if self._condition is not None and options.condition_dropout:
            shown = (rng.random(shape) >= options.condition_dropout).astype(np.float32)
        given = places
        if options.coupling != "none":
            # noise keeps its order, and so what is random in the order of the data stays so
            size = self._size
            parts = [slice(first, first + size) for first in range(0, n, size)]
            places = np.concatenate([self._coupled(noise[p], places[p]) for p in parts])
            given = places if options.coupling == "ot" else given
        return _Drawn(
            noise.reshape(*shape, *noise.shape[1:]), places.reshape(shape), given.reshape(shape),
            time.astype(np.float32), shown,
        )  # fmt: skip

    def _coupled(self, noise: NDArray[np.float32], places: Places) -> Places:
        """The places of the data, in the order of the noise that each is coupled with."""
        x, z = noise.reshape(len(noise), -1), self._flat[places]
        if not self._minds:
            coupling = conditional_coupling(x, None, z, None, beta=0)
        else:
            y = None if self._kept is None else self._kept[places]
            classes = None if self._groups is None else (self._groups[places],) * 2
            beta = math.inf if y is None else self._options.beta
            coupling = conditional_coupling(x, y, z, y, beta=beta, groups=classes)
        return np.asarray(places[coupling.columns])

    def _tensor(self, numbers: NDArray[np.float32] | Places) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)
