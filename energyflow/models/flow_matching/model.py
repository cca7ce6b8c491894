"""Flow matching, with noise and data coupled at random or by (conditional) optimal transport."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..._core.checks import check_choice, check_count
from ..._core.random import Rng
from .._base import Model, Pair
from .._networks import suited
from .._tensors import Tensors
from ..data.scaling import as_points
from ..flow_generator.presets import Preset
from ..training.rounds import Rounds
from ..training.validation import Judge
from .batches import Batches
from .settings import MATCHING_PRESETS, MOST_STEPS, SOLVERS, FlowMatchingSettings
from .velocity import Velocity, error, flowed, log_density


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
    Couplings are found on the host, by up to four threads in the background (half of those of
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
    presets: ClassVar[dict[str, Preset]] = MATCHING_PRESETS
    _velocity: Velocity | None = None

    def sample(
        self,
        n: int,
        condition: Any = None,
        rng: Rng = None,
        *,
        n_steps: int | None = None,
        solver: str | None = None,
        guidance: float = 1.0,
    ) -> NDArray[np.float32] | Tensor:
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
            1 for samples of the condition; more exaggerates it. Needs `condition_dropout`.

        Returns
        -------
        array (n, *shape)
            float32, in the units of the data; a tensor if the model was trained on one.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `Model.sample`; guidance of a model that never had conditions hidden.
        """
        count, encoded, generator = self._asked(n, condition, rng)
        if guidance != 1 and not (self._hides and encoded is not None):
            raise ValueError("guidance needs a model with conditions and condition_dropout")
        drawn = self._flow(
            self._trained, count, encoded, generator,
            guidance=float(guidance), **self._solving(solver, n_steps),
        )  # fmt: skip
        return self._given_back(drawn)

    def log_likelihood(
        self,
        points: Any,
        condition: Any = None,
        *,
        n_steps: int | None = None,
        solver: str | None = None,
    ) -> NDArray[np.float32] | Tensor:
        r"""Log-density of vectors under the model, by the divergence of the velocity.

        Parameters
        ----------
        points : array (n, d)
            In the units of the data.
        condition : optional
            As in `sample`: one for all, or n of them.
        n_steps, solver
            As in `sample`.

        Returns
        -------
        array (n,)
            In nats, for a density in the units of the data.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            Points or conditions that do not fit; a model that is not trained, or of images.

        Notes
        -----
        The network is differentiated d times a call: for small d.
        """
        x = as_points("points", points)
        _, encoded, _ = self._asked(len(x), condition, 0)
        if len(self._shape) != 1 or tuple(x.shape[1:]) != self._shape:
            raise ValueError(f"points must be vectors (n, d) like the data, got {tuple(x.shape)}")
        assert self._scaling is not None
        scaled = self._scaling.apply(x).to(self.device)
        how = self._solving(solver, n_steps)
        found = log_density(self._trained, scaled, encoded, **how)
        density = (found - x.shape[1] * float(self._scaling.scale.log())).cpu()
        return density if self._described["library"] == "torch" else density.numpy()

    # -- what the base class asks for

    def _course(self, data: Pair, judge: Judge) -> Rounds:
        assert self._scaling is not None
        groups = kept = None
        if self._conditions is not None and data[1] is not None:
            groups, kept = self._conditions.split(data[1])
        batches = Batches(*data, self.settings, groups=groups, kept=kept, device=self.device)

        def loss(network: nn.Module, step: int, part: slice) -> Tensor:
            return error(Velocity(network, hides=self._hides), batches(step, part))

        return Rounds(
            self._seeded(self._new_network),
            self.settings,
            self.settings.n_steps,
            self.settings.n_rounds,
            loss,
            self.settings.batch_size,
            lambda network: partial(
                self._flow, Velocity(network, hides=self._hides), **self._solving()
            ),
            judge,
            description=self._description(),
            scaling=self._scaling,
            picture=lambda path, samples: self._picture(path, samples, data[0]),
            during=batches.until,
        )

    def _take(self, networks: dict[int, Tensors], origin: str) -> None:
        last = max(networks)
        network = self._with_weights(self._new_network, networks[last], origin)
        self._velocity = Velocity(network, hides=self._hides)

    def _draw(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        return self._flow(self._trained, n, condition, rng, **self._solving())

    # -- parts of these

    @property
    def _hides(self) -> bool:
        """Whether conditions were hidden now and then."""
        return self._conditions is not None and self.settings.condition_dropout > 0

    @property
    def _trained(self) -> Velocity:
        assert self._velocity is not None
        return self._velocity

    def _new_network(self) -> nn.Module:
        if self._network is not None:
            return copy.deepcopy(self._network)
        seen: list[tuple[int, ...]] = []
        if self._conditions is not None:
            seen = [self._conditions.shape, (1,)] if self._hides else [self._conditions.shape]
        form = self.settings.architecture or suited(self._shape)
        return form.build(self._shape, [*seen, (1,)])

    def _solving(self, solver: str | None = None, n_steps: int | None = None) -> dict[str, Any]:
        chosen = check_choice("solver", self.settings.solver if solver is None else solver, SOLVERS)
        steps = self.settings.sampling_steps if n_steps is None else n_steps
        return {"solver": chosen, "n_steps": check_count("n_steps", steps, maximum=MOST_STEPS)}

    def _flow(
        self,
        velocity: Velocity,
        n: int,
        condition: Tensor | None,
        rng: np.random.Generator,
        **how: Any,
    ) -> Tensor:
        noise = torch.from_numpy(rng.standard_normal((n, *self._shape), np.float32))
        return flowed(velocity, noise.to(self.device), condition, **how)
