"""Generative sliced MMD flows: a chain of networks that learns a particle flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from .._base import Model
from .._networks import MLP, suited
from .._saved import Saved
from .._settings import Preset
from ..data.conditions_by_name import weight_in_flows
from ..data.noise import MOST_MOMENTS, Noise
from ..data.training_set import Description, TrainingSet
from ..training.plan import Task
from .chain import Chain
from .presets import PRESETS
from .settings import FlowSettings, all_blocks
from .stages import FlowPlan


class FlowGenerator(Model[FlowSettings]):
    r"""Networks that learn, block by block, how a flow carries noise to data.

    Particles flow for some steps from :math:`x` to :math:`x'`; a network :math:`\Phi_k` learns
    :math:`x - x'`; the next block begins where the chain so far carries noise. A sample is

    .. math:: x \leftarrow x - \Phi_k(x, c), \quad k = 0, 1, \dots, \qquad x \sim U[0, 1]^d ,

    for data that are scaled to the unit box, or from normal noise with the data's moments given c.
    With conditions c the flow is a `ConditionalFlow`.

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
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    _standardised = False
    _least_share = 0.97

    def _plan(self, task: Task) -> FlowPlan:
        description, settings = task.data.description, self.settings
        if settings.pyramid is not None:
            form = settings.architecture or suited(description.learned_shape)
            if not description.given_network and isinstance(form, MLP):
                raise ValueError(
                    "a pyramid needs a network for all its resolutions: a UNet, not an MLP"
                )
        conditions = description.conditions
        labelled = conditions is not None and conditions.kind == "labels"
        points, condition = task.data.points, task.data.condition
        noise = Noise.of(cast(str, settings.start), points, condition, labelled)
        return FlowPlan(task, settings, self._chain(description, noise))

    def _chosen(self, data: TrainingSet) -> FlowSettings:
        description = data.description
        shape, conditions = description.shape, description.conditions
        centred = conditions is not None and conditions.kind not in ("series", "maps")
        centred &= len(shape) == 1 and shape[0] <= MOST_MOMENTS
        return super()._chosen(data).chosen(slow=self._is_slow(description), centred=centred)

    def _may_reduce(self, description: Description) -> bool:
        return self._given.pyramid is None and super()._may_reduce(description)

    def _chain(self, description: Description, noise: Noise) -> Chain:
        """The chain without networks."""
        settings = self.settings
        shapes = description.learned_shape, description.mean_distance, description.condition_shape
        blocks = tuple(all_blocks(settings, *shapes))
        upsampling_noise = 0.0 if settings.pyramid is None else settings.pyramid.noise
        return Chain(blocks, noise, upsampling_noise, settings.one_network, self.device)

    def _weight(self, description: Description) -> float:
        weight = weight_in_flows(self.settings.condition_weight, description.conditions)
        return 1.0 if isinstance(weight, str) else weight

    def _inputs(self, description: Description) -> list[tuple[int, ...]]:
        code = [(self.settings.n_blocks,)] if self.settings.one_network else []
        return [*super()._inputs(description), *code]

    def _load(self, saved: Saved) -> Chain:
        shapes = saved.description.learned_shape, saved.description.condition_shape
        chain = self._chain(saved.description, Noise.from_tensors(saved.weights, *shapes))
        return chain.load(saved.factory, saved.networks, saved.origin)
