"""Generative sliced MMD flows: a chain of networks that learns a particle flow."""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from .._base import Model, Pair
from .._networks import MLP, suited
from .._tensors import Tensors
from ..data.scaling import Noise
from ..training.validation import Judge
from .chain import Chain
from .presets import PRESETS, Preset
from .settings import FlowSettings, blocks, levels
from .stages import FlowCourse


class FlowGenerator(Model[FlowSettings]):
    r"""Networks that learn, block by block, how a flow carries noise to data.

    Particles flow for some steps from :math:`x` to :math:`x'`; a network :math:`\Phi_k` learns
    :math:`x - x'`; the next block begins where the chain so far carries noise. A sample is

    .. math:: x \leftarrow x - \Phi_k(x, c), \quad k = 0, 1, \dots, \qquad x \sim U[0, 1]^d ,

    for data that are scaled to the unit box, or from normal noise with the data's moments. With
    conditions c the flow is a `ConditionalFlow`.

    Parameters
    ----------
    network : Module, optional
        The first network, called as ``network(x, *conditions)``; each block begins with a copy of
        the last. Built by the settings' `architecture` when not given.
    preset : str, optional
        A key of `PRESETS`, whose settings are taken for those not given.
    device : str or device, optional
        Where to train; CUDA if there is one, else the CPU.
    **settings
        Of `FlowSettings`.

    Attributes
    ----------
    settings : FlowSettings
        All settings in use.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown, of the wrong type or out of range.

    Notes
    -----
    Training costs the flow's steps plus `n_blocks` regressions; sampling one call of each network
    a sample. On a CPU the flow runs in NumPy arrays, on other devices in torch tensors.

    References
    ----------
    Hertrich, Wald, Altekrüger, Hagemann, "Generative Sliced MMD Flows with Riesz Kernels",
    ICLR 2024, Section 4; Hagemann et al., "Posterior Sampling Based on Gradient Flows of the MMD
    with Negative Distance Kernel", ICLR 2024.
    """

    kind = "flow"
    presets: ClassVar[dict[str, Preset]] = PRESETS
    _standardised = False
    _chain: Chain | None = None
    _noise = Noise()

    @property
    def n_trained(self) -> int:
        """How many blocks are trained."""
        return 0 if self._chain is None else len(self._chain)

    @property
    def _weight(self) -> float | str:  # type: ignore[override]
        return self.settings.condition_weight

    def _draw(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        assert self._chain is not None
        return self._chain.push(self._chain.start(n, rng), condition, rng, len(self._chain))

    def _course(self, data: Pair, judge: Judge) -> FlowCourse:
        assert self._scaling is not None
        self._check_pyramid()
        self._noise = Noise.of(self.settings.start, data[0])
        self._chain = self._new_chain()
        self._seeded(self._chain.new_network)  # that it fits the data shows before a run begins
        return FlowCourse(
            self._chain,
            self.settings,
            data,
            judge,
            description=self._description(),
            scaling=self._scaling,
            conditions=self._conditions,
            picture=lambda path, samples: self._picture(path, samples, data[0]),
        )

    def _check_pyramid(self) -> None:
        """What would only show at a finer resolution, hours later."""
        pyramid = self.settings.pyramid
        if pyramid is None:
            return
        if self._conditions is not None and pyramid.patch_size is not None:
            raise ValueError(
                "condition goes with a pyramid without patches: give one with patch_size=None"
            )
        form = self.settings.architecture or suited(self._shape)
        if self._network is None and isinstance(form, MLP):
            raise ValueError(
                "a pyramid needs a network for all its resolutions: a UNet, not an MLP"
            )

    def _new_chain(self) -> Chain:
        settings, shape = self.settings, self._shape
        found = levels(settings, shape, self._described["spread"])
        enlarging = settings.pyramid.noise if settings.pyramid is not None else 0.0
        plan = list(blocks(settings, found))
        seen = [] if self._conditions is None else [self._conditions.shape]
        if settings.one_network:
            seen.append((len(plan),))

        def new_network() -> nn.Module:
            if self._network is not None:
                return copy.deepcopy(self._network)
            form = settings.architecture or suited(shape)
            return form.build(shape, seen)

        return Chain(
            plan,
            found,
            self._noise,
            enlarging,
            new_network,
            shared=settings.one_network,
            device=self.device,
        )

    def _take(self, networks: dict[int, Tensors], origin: str) -> None:
        self._noise = Noise.from_tensors(self._weights, math.prod(self._shape))
        self._chain = self._new_chain()
        last, shared = max(networks), self.settings.one_network
        if not shared and len(networks) != last + 1:
            raise ValueError(f"{origin}: networks are missing from the weights")
        if last >= len(self._chain.blocks):
            raise ValueError(f"{origin}: the weights are not those of the settings")
        for k in [last] if shared else range(last + 1):
            network = self._with_weights(self._chain.new_network, networks[k], origin)
            for _ in range(last + 1 if shared else 1):
                self._chain.add(network)
