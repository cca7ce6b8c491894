"""Flow matching, with noise and data coupled at random or by (conditional) optimal transport."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
from energyflow_backends import Floats
from torch import Tensor, nn

from ..._core.checks import check_count, check_number
from ..._core.random import Rng, as_source
from .._base import Model
from .._embedding import Embedded, embedded_shape
from .._networks import MLP, Architecture, UNet
from .._saved import Saved
from .._settings import Preset
from .._weights import Tensors, prefixed
from ..data.arrays import as_points, given_back, widened
from ..data.conditions import Conditions
from ..data.conditions_by_name import AnyConditions
from ..data.training_set import Description, Pair, TrainingSet
from ..training.plan import Task
from ..training.single_network import Learning, SingleNetworkPlan
from .batches import Batches
from .gaussian_base import GaussianBase
from .settings import PRESETS, FlowMatchingSettings
from .solver import OdeSolver, SolverName
from .velocity import HeldOutError, Velocity, error, flowed, log_density

_SHORT = 32  # numbers of a vector, for which a narrower network learns as much in half the time


@dataclass(frozen=True)
class VelocityFlow:
    """A trained velocity, and how it carries noise to samples of a shape.

    any_size : whether samples of images have the size of their condition, whatever that of the
    data was.
    """

    velocity: Velocity
    shape: tuple[int, ...]
    device: torch.device
    solver: OdeSolver
    n_trained: int
    any_size: bool = False

    @property
    def module(self) -> nn.Module:
        """The network of the velocity."""
        return self.velocity.network

    def draw(
        self,
        n: int,
        condition: Tensor | None,
        rng: np.random.Generator,
        solver: OdeSolver | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Samples, in the units of the networks."""
        shape = self.shape
        if self.any_size and condition is not None:
            shape = (shape[0], *condition.shape[-2:])
        noise = torch.from_numpy(rng.standard_normal((n, *shape), np.float32))
        noise = noise.to(self.device)
        return flowed(self.velocity, noise, condition, solver or self.solver, guidance)

    preview = draw

    def tensors(self) -> Tensors:
        """For a file of weights."""
        return prefixed(f"networks.{self.n_trained - 1}", self.velocity.network.state_dict())


class FlowMatching(Model[FlowMatchingSettings]):
    r"""A network that learns the velocity of straight paths from noise to data.

    Noise z and data x with condition c are paired in each batch; with t uniform on [0, 1],

    .. math:: \min_v \; E \, |v((1 - t) z + t x, c, t) - (x - z)|^2 , \qquad
              \text{sample: } dx/dt = v(x, c, t), \; x(0) \sim N(0, I) .

    Pairs of optimal transport make paths that cross less, so that fewer steps sample well. But
    transport that looks at z and x alone makes the noise depend on the condition, and what is
    learned for a condition is no longer its distribution. ``coupling="conditional-ot"`` gives
    the noise the conditions of the data, and couples with the cost

    .. math:: |z_j - x_i|^2 + \beta^2 |c_j - c_i|^2 ;

    the path of noise j keeps its own condition c_j, and for a large beta leads to data of nearly
    that condition. Labels are kept exactly.

    Parameters
    ----------
    network : Module, optional
        Called as ``network(x, *conditions, time)`` with time (n, 1); built by the settings'
        `architecture` when not given.
    embedding : Module, optional
        Makes features (n, k) of conditions (n, *) for the network, and is trained with it: of
        series, sets or images, or of long vectors. It sees standardised conditions.
    preset : str, optional
        A key of `FlowMatching.presets`, whose settings are taken for those not given.
    device : str or device, optional
        Where to train; CUDA if there is one, else the CPU.
    **settings
        Of `FlowMatchingSettings`.

    Attributes
    ----------
    settings : FlowMatchingSettings
        All settings in use.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown, of the wrong type or out of range.

    Notes
    -----
    Conditions that are maps on the grid of images, learned by a ``UNet(attention=False)``, may have
    another size when samples are drawn, which is that of the samples.

    Couplings are computed on the host, prefetched by up to four threads (half of those of
    ENERGYFLOW_NUM_THREADS, else of the CPUs; none for one); times are stratified over a batch. A
    smaller beta straightens paths more and blurs conditions more, by about the distance between
    conditions in a coupling.

    On one thread, plain transport in parts of 128 takes 1 to 1.5 times as long as the step of a
    small network (two blocks of 128 units) and a third of the step of the default one;
    conditional transport (beta 4) in parts of 256 takes half and a tenth. In the background
    neither holds up a network of the default size. The time of a coupling grows with up to the
    cube of its size: of 1024 at once, plain transport takes forty steps of that small network, and
    conditional transport three and a half.

    References
    ----------
    Lipman, Chen, Ben-Hamu, Nickel, Le, "Flow Matching for Generative Modeling", ICLR 2023;
    Chemseddine, Hagemann, Steidl, Wald, "Conditional Wasserstein Distances with Applications in
    Bayesian OT Flow Matching", JMLR 26, 2025, Section 5.
    """

    kind = "flow-matching"
    presets: ClassVar[Mapping[str, Preset]] = PRESETS

    def __init__(
        self,
        network: nn.Module | None = None,
        preset: str | None = None,
        *,
        embedding: nn.Module | None = None,
        device: str | torch.device | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(embedding, nn.Module | None):
            raise TypeError(f"embedding must be a torch Module, got {type(embedding).__name__}")
        super().__init__(network, preset, device=device, **settings)
        self.embedding = embedding

    def sample(
        self,
        n: int,
        condition: Any = None,
        rng: Rng = None,
        *,
        n_steps: int | None = None,
        solver: str | None = None,
        guidance: float = 1.0,
    ) -> Floats | Tensor:
        """Draw new samples.

        Parameters
        ----------
        n, condition, rng
            As in `Model.sample`.
        n_steps : int, optional
            In place of the settings' `sampling_steps`.
        solver : {"euler", "midpoint", "rk4", "dopri5"}, optional
            In place of the settings'. They call the network once, twice and four times a step;
            the last chooses its steps.
        guidance : float
            Weight of classifier-free guidance: 1 for samples of the condition; more exaggerates
            it. Needs `condition_dropout`.

        Returns
        -------
        array (n, *shape)
            As of `Model.sample`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `Model.sample`; guidance of a model whose conditions were never masked.
        """
        arguments = self._arguments(n, condition, rng)
        networks = cast(VelocityFlow, self._trained.networks)
        guidance = check_number("guidance", guidance)
        if guidance != 1 and not (networks.velocity.masks and arguments[1] is not None):
            raise ValueError("guidance needs a model with conditions and condition_dropout")
        chosen = self._solver(solver, n_steps)
        return self._given_back(networks.draw(*arguments, chosen, guidance))

    def log_likelihood(
        self,
        points: Any,
        condition: Any = None,
        *,
        n_steps: int | None = None,
        solver: str | None = None,
        n_probes: int | None = None,
        rng: Rng = None,
    ) -> Floats | Tensor:
        r"""Log-density of points under the model, by the divergence of the velocity.

        Parameters
        ----------
        points : array (n, d) or (n, C, H, W)
            In the units of the data.
        condition : optional
            As in `sample`: one for all, or n of them.
        n_steps, solver
            As in `sample`.
        n_probes : int, optional
            Vectors of random signs of Hutchinson's estimator, which takes the place of the exact
            divergence. The estimate is unbiased; its error falls as the root of their number.
        rng : int, generator or None
            Where they come from.

        Returns
        -------
        array (n,)
            In nats, for a density in the units of the data. Of a tensor that requires it, it can
            be differentiated.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            Points or conditions that do not fit; a model that is not trained, or of components.

        Notes
        -----
        The network is differentiated once a call for each of the d coordinates, or for each of
        the probes: give `n_probes` for images and long vectors.

        References
        ----------
        Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, "FFJORD: Free-form Continuous Dynamics
        for Scalable Reversible Generative Models", ICLR 2019, Section 3.
        """
        x = as_points("points", points, least=1)
        tracked = isinstance(points, Tensor) and points.requires_grad and torch.is_grad_enabled()
        if tracked:
            x = widened(points.cpu())
        _, encoded, _ = self._arguments(len(x), condition, 0)
        description, scaling = self._trained.description, self._trained.scaling
        if scaling.components is not None:
            raise RuntimeError(
                f"log_likelihood needs components=1, got {self.settings.components:g}: samples "
                "are made of principal components, and have no density"
            )
        shape = description.shape
        if tuple(x.shape[1:]) != shape:
            raise ValueError(f"points must be of shape {shape} like the data, got {tuple(x.shape)}")
        d, probes = x[0].numel(), None
        if n_probes is not None:
            size = len(x), check_count("n_probes", n_probes), d
            signs = as_source(rng).host(0, 0).integers(2, size=size, dtype=np.int8)
            probes = torch.from_numpy(2 * signs - 1).to(self.device)
        networks = cast(VelocityFlow, self._trained.networks)
        scaled, chosen = scaling.apply(x).to(self.device), self._solver(solver, n_steps)
        logs = log_density(networks.velocity, scaled, encoded, chosen, probes)
        logs = (logs - scaling.log_volume(d)).cpu()
        return given_back(logs, "torch" if tracked else description.library)

    def _plan(self, task: Task) -> SingleNetworkPlan[VelocityFlow]:
        description = task.data.description
        return SingleNetworkPlan(
            task,
            self.settings,
            learning=partial(self._learning, task),
            sampler=lambda network, n: self._flow(description, network, n),
        )

    def _learning(self, task: Task, batch_size: int) -> Learning:
        data, description, held = task.data, task.data.description, task.validator.held_out
        settings = replace(self.settings, batch_size=batch_size)

        def batches_of(pair: Pair, use: str) -> Batches:
            points, condition = pair
            groups = kept = None
            if description.conditions is not None and condition is not None:
                groups, kept = description.conditions.split(condition)
            return Batches(
                points, condition, settings, groups=groups, kept=kept, device=self.device, use=use
            )

        batches = batches_of((data.points, data.condition), "batch")
        masks = self._masks(description)
        validation = least_gain = None
        if held is not None:
            if self.settings.base == "gaussian":  # gains that are chance are about as large
                least_gain = 0.5 / len(held[0])
            validation = HeldOutError(batches_of(held, "validation"), held, masks)
        return Learning(
            lambda network, step, part: error(Velocity(network, masks), batches(step, part)),
            n_terms=batch_size,
            validation=validation,
            least_gain=least_gain,
            during=batches.until,
        )

    def _load(self, saved: Saved) -> VelocityFlow:
        last = max(saved.networks)
        network = saved.factory.load(saved.networks[last], saved.origin)
        return self._flow(saved.description, network, last + 1)

    def _flow(self, description: Description, network: nn.Module, n_rounds: int) -> VelocityFlow:
        velocity = Velocity(network, self._masks(description))
        shape, any_size = description.learned_shape, self._takes_any_size(description)
        return VelocityFlow(velocity, shape, self.device, self._solver(), n_rounds, any_size)

    def _takes_any_size(self, description: Description) -> bool:
        """Whether images of other sizes than the data's can be sampled: the network is fully
        convolutional, and conditions are maps on the grid of the image.
        """
        form, conditions = self.settings.architecture, description.conditions
        convolutional = isinstance(form, UNet) and not form.attention
        if not convolutional or description.given_network or self.embedding is not None:
            return False
        return isinstance(conditions, Conditions) and conditions.shape[1:] == description.shape[1:]

    def _conditions_like(self, condition: Any) -> AnyConditions | None:
        description = self._trained.description
        conditions, shape = description.conditions, tuple(getattr(condition, "shape", ()))
        if not isinstance(conditions, Conditions) or not self._takes_any_size(description):
            return conditions
        given = len(shape) in (3, 4) and 0 not in shape
        return conditions.resized(shape[-2:]) if given else conditions

    def _solver(self, solver: str | None = None, n_steps: int | None = None) -> OdeSolver:
        """The settings' solver and its steps, in place of what is None."""
        name = self.settings.solver if solver is None else cast(SolverName, solver)
        return OdeSolver(name, self.settings.sampling_steps if n_steps is None else n_steps)

    def _chosen(self, data: TrainingSet) -> FlowMatchingSettings:
        description, settings = data.description, super()._chosen(data)
        conditions, whole = description.conditions, settings.components == 1
        embeds = isinstance(conditions, Conditions) and self.embedding is not None
        vectors = isinstance(conditions, Conditions) and conditions.kind == "vectors"
        few = (vectors or embeds) and _is_short(description.shape)
        given, slow = description.given_network, whole and self._is_slow(description)
        settings = settings.chosen(
            len(data.points), few=few, slow=slow, given_network=given,
            pixels=math.prod(description.shape[1:]),
        )  # fmt: skip
        if settings.base == "gaussian" and (given or (whole and len(description.shape) != 1)):
            raise ValueError('base "gaussian" is for vectors, and for networks that are built')
        return settings

    def _in_units(self, data: TrainingSet) -> TrainingSet:
        data = super()._in_units(data)
        return data if self.settings.base == "none" else data.whitened()

    def _new_network(self, description: Description) -> nn.Module:
        network = super()._new_network(description)
        if self.settings.base == "gaussian":
            network = GaussianBase(network)
        if self.embedding is None:
            return network
        return Embedded(network, copy.deepcopy(self.embedding))

    def _masks(self, description: Description) -> bool:
        """Whether conditions are masked now and then."""
        return description.conditions is not None and self.settings.condition_dropout > 0

    def _suited(self, shape: tuple[int, ...]) -> Architecture:
        return MLP(width=128) if _is_short(shape) else super()._suited(shape)

    def _inputs(self, description: Description) -> list[tuple[int, ...]]:
        mask = [(1,)] if self._masks(description) else []
        condition = super()._inputs(description)
        if self.embedding is not None:
            if getattr(description.conditions, "kind", "labels") == "labels":
                raise ValueError("embedding needs conditions that are vectors, series or maps")
            condition = [embedded_shape(self.embedding, condition[0])]
        return [*condition, *mask, (1,)]

    def _own_modules(self) -> nn.Module | None:
        own = [module for module in (self._network, self.embedding) if module is not None]
        return super()._own_modules() if self.embedding is None else nn.ModuleList(own)

    def _entries(self, description: Description) -> dict[str, Any]:
        given = {} if self.embedding is None else {"given_embedding": True}
        return super()._entries(description) | given


def _is_short(shape: tuple[int, ...]) -> bool:
    """Whether points are vectors of a few numbers."""
    return len(shape) == 1 and shape[0] <= _SHORT
