"""The loss of a step, whose terms processes share."""

from __future__ import annotations

import torch
from energyflow_backends import need_whole_sets, sharding
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from .plan import Stage


class SharedLoss:
    """The loss of each step of a stage, of the terms that fall to this process.

    Gradients are averaged over the processes while they are computed, by torch's
    `DistributedDataParallel`; what comes out is the gradient of the mean over all terms.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage, self._here = stage, sharding()
        if self._here is None:
            return
        need_whole_sets("models")
        n, size = stage.n_terms, self._here.size
        if n < size:
            raise ValueError(
                f"a step must have at least one term of the loss (points of a batch, or noise "
                f"levels) for each of {size} processes, got {n}"
            )
        self._part = self._here.part(n)
        self._weight = (self._part.stop - self._part.start) * size / n
        self._network = DistributedDataParallel(stage.network, process_group=self._here.group)

    def __call__(self, step: int) -> Tensor:
        """To be differentiated at once; its mean over the processes is the loss."""
        if self._here is None:
            whole: Tensor = self._stage.loss(self._stage.network, step)
            return whole
        part: Tensor = self._stage.loss(self._network, step, self._part) * self._weight
        return part

    def over_processes(self, loss: Tensor) -> Tensor:
        """The mean of what each process has got."""
        if self._here is None:
            return loss
        return torch.as_tensor(self._here.summed(loss)[0]) / self._here.size
