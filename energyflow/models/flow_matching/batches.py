"""Batches of noise and data for flow matching, whose couplings are prefetched."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from energyflow_backends import Floats, Integers, usable_threads
from scipy.special import expit, ndtri
from torch import Tensor

from ..._core.random import keyed_generator
from ..._transport.coupling import conditional_coupling
from .prefetch import Prefetcher
from .settings import FlowMatchingSettings

_MOST_THREADS = 4
_DRAWN = 2**14  # numbers of noise that are drawn at once, without couplings
_MEAN_LOGIT, _SD_LOGIT = 1.0, 1.2  # of times: half of them are in the last quarter of the way
Drawn = dict[str, Floats | Integers]


@dataclass(frozen=True)
class Batch:
    """Noise and the data that it is carried to, the condition on the way, and the times."""

    noise: Tensor  # (B, *shape)
    data: Tensor  # (B, *shape)
    condition: Tensor | None  # (B, *)
    time: Tensor  # (B,)
    mask: Tensor | None  # (B,), 0 where the condition is masked


class Batches:
    """A batch for each step, a function of the step and the settings alone.

    data : points (N, *shape) on the host.
    condition : of each (N, *), as networks see it.
    groups : whole numbers (N,), the classes that couplings must keep exactly.
    kept : the continuous conditions (N, m), which couplings weigh by beta; with a condition there
    are groups or these, or both.

    use : the name of the random stream: another one gives other batches. size : points of a batch.

    A coupling larger than a batch is of as many whole batches as it holds, and serves that many
    steps; without couplings, small batches are drawn several at once. Couplings are prefetched:
    threads compute them while networks are trained.
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
        use: str = "batch",
    ) -> None:
        self._use = use
        self._flat = data.flatten(1).numpy()
        self._groups = None if groups is None else groups.numpy()
        self._kept = None if kept is None else kept.numpy()
        self._data = data.to(device)
        self._condition = None if condition is None else condition.to(device)
        self._options = options
        self.size = cast(int, options.batch_size)
        self._device = device
        self._conditional = options.coupling == "conditional-ot" and condition is not None
        self._size = options.coupling_size or (256 if self._conditional else 128)
        n = self._size if options.coupling != "none" else _DRAWN // self._flat.shape[1]
        self._together = max(1, n // self.size)
        self._prefetched = Prefetcher(self._draw, min(usable_threads() // 2, _MOST_THREADS))
        self._last: tuple[int, Drawn] | None = None

    def until(self, last: int) -> AbstractContextManager[None]:
        """Prefetch couplings while inside, up to the batch of the step before `last`."""
        return self._prefetched.until(math.ceil(last / self._together))

    def __call__(self, step: int, part: slice = slice(None)) -> Batch:
        """The batch of a step, or a part of it."""
        number, row = divmod(step, self._together)
        if self._last is None or self._last[0] != number:
            self._last = number, self._prefetched(number)
        drawn = {
            name: torch.from_numpy(values[row, part]).to(self._device)
            for name, values in self._last[1].items()
        }
        condition = None if self._condition is None else self._condition[drawn["condition"]]
        data = self._data[drawn["data"]]
        return Batch(drawn["noise"], data, condition, drawn["time"], drawn.get("mask"))

    def _draw(self, number: int) -> Drawn:
        """All that is random in the steps that share a coupling: a row for each step.

        data and condition are places in the data.
        """
        options, shape = self._options, (self._together, self.size)
        n = math.prod(shape)
        rng = keyed_generator(options.seed, self._use, step=number)
        places = rng.integers(len(self._flat), size=n)
        noise = rng.standard_normal((n, *self._data.shape[1:]), np.float32)
        time = (np.arange(shape[1]) + rng.random(shape)) / shape[1]
        if options.times == "logit-normal":
            time = expit(_MEAN_LOGIT + _SD_LOGIT * ndtri(time))
        drawn: Drawn = {"time": time.astype(np.float32)}
        if self._condition is not None and options.condition_dropout:
            drawn["mask"] = (rng.random(shape) >= options.condition_dropout).astype(np.float32)
        coupled = places
        if options.coupling != "none":
            # noise keeps its order, and so what is random in the order of the data stays so
            parts = [slice(first, first + self._size) for first in range(0, n, self._size)]
            coupled = np.concatenate([self._coupled(noise[p], places[p]) for p in parts])
        given = coupled if options.coupling == "ot" else places
        rows: Drawn = {"noise": noise, "data": coupled, "condition": given}
        return drawn | {name: v.reshape(*shape, *v.shape[1:]) for name, v in rows.items()}

    def _coupled(self, noise: Floats, places: Integers) -> Integers:
        """The places of the data, in the order of the noise that each is coupled with."""
        x, z = noise.reshape(len(noise), -1), self._flat[places]
        if not self._conditional:
            coupling = conditional_coupling(x, None, z, None, beta=0)
        else:
            y = None if self._kept is None else self._kept[places]
            classes = None if self._groups is None else (self._groups[places],) * 2
            beta = math.inf if y is None else self._options.beta
            coupling = conditional_coupling(x, y, z, y, beta=beta, groups=classes)
        rows: Integers = np.asarray(coupling.columns)
        return places[rows]
