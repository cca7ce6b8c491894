"""Deep MMD gradient flows: features of noise levels, and particles that follow their witness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from energyflow_backends import Floats, Integers
from torch import Tensor, nn

from ..._core.random import Rng, keyed_generator
from .._base import Model
from .._saved import Saved
from .._settings import Preset
from ..data.arrays import as_points
from ..data.training_set import Description, TrainingSet
from ..training.plan import Task
from ..training.single_network import Learning, SingleNetworkPlan
from .class_flows import LABELS, REFERENCE, ClassFlows
from .features import Features, feature_network
from .loss import DMMDLoss, HeldOutLoss
from .settings import PRESETS, DMMDSettings, Sampling


class DMMD(Model[DMMDSettings]):
    r"""A flow of particles along the MMD of features that know the level of noise.

    Data are noised, :math:`x_t = \alpha_t x_0 + \beta_t e` with :math:`\alpha_t^2 + \beta_t^2 =
    1`. A network learns features :math:`\phi(x, t)` under which the MMD between clean and noised
    data is large while its witness

    .. math:: f_t(z) = \operatorname{mean}_i k(\phi(z, t), \phi(Z_i, t))
        - \operatorname{mean}_j k(\phi(z, t), \phi(X_j, t))

    is not steep (see `DMMDSettings` and the Notes). To sample, particles Z start as Gaussian noise
    and for levels t from 1 downwards take steps :math:`Z \leftarrow Z - \eta \nabla f_t(Z)`. There
    is no generator, and no game between networks.

    Parameters
    ----------
    network : Module, optional
        Gives learned features: ``network(x, t)`` with x (B, \*shape) and embedded times t (B, 12),
        and one-hot labels (B, classes) as third argument where there are labels; any output is
        flattened. Built by the settings' `architecture` when not given.
    preset : str, optional
        A key of `DMMD.presets`.
    device : str or device, optional
        Where to train; CUDA if there is one, else the CPU.
    **settings
        Of `DMMDSettings`.

    Attributes
    ----------
    settings : DMMDSettings
        All settings in use.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown, of the wrong type or out of range.

    Notes
    -----
    From the paper: features that depend on the noise level and are trained by the unbiased MMD
    between clean and noised data, a penalty on the gradient of the witness at points between the
    two, an l2 penalty on features, and both ways of sampling. Where this follows the mathematics
    instead:

    - The penalty is on :math:`\|\nabla f\|^2`; the paper's :math:`(\|\nabla f\| - 1)^2` is
      ``penalty="unit"``. Batch means are noisy, and the latter is satisfied by the noise: it makes
      the witness of a batch steep before there is a difference to see. With the square, features
      can be scaled at will and -MMD^2 alone says which are worth a gradient; along a pair
      :math:`f(x_t) - f(x_0) = \int \nabla f \cdot (x_t - x_0)`, so the best witness has as its
      gradient the regression of :math:`x_t - x_0` on the points between.
    - The MMD of each level is divided by the distance that noise has moved the data, else the
      levels near the data count for nothing.
    - The kernel is the energy distance's, and the point itself is among its features, so that the
      MMD is zero only where the distributions are equal. ``kernel="linear"`` is the paper's.
    - Steps are as long as it takes to come as near to the data as noised data of the next level
      are, under the kernel of this one; so they need no tuning.

    Training costs two passes through the network for clean and noised points, and a gradient of a
    gradient for those between. A particle costs one gradient a step, and O(2000) kernel values
    with ``kernel="energy"`` or ``"rbf"``, none with ``"linear"``.

    With labels each class is a flow of its own, under features that know the label.

    References
    ----------
    Galashov, De Bortoli, Gretton, "Deep MMD Gradient Flow without adversarial training", ICLR
    2025; for KALE, Glaser, Arbel, Gretton, "KALE Flow: A Relaxed KL Gradient Flow for
    Probabilities with Disjoint Support", NeurIPS 2021.
    """

    kind = "dmmd"
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    _fewest_of_a_class = 2
    _least_share = 0.97

    def sample(
        self,
        n: int,
        condition: Any = None,
        rng: Rng = None,
        *,
        method: Literal["particles", "independent"] = "particles",
        n_levels: int = 10,
        n_steps: int = 10,
        step_size: float | None = None,
        denoise: int | None = None,
        objective: Literal["mmd", "kale"] = "mmd",
        regularization: float = 1.0,
    ) -> Floats | Tensor:
        r"""Draw new samples.

        Parameters
        ----------
        n : int
            How many.
        condition : optional
            For a model with labels: one for all samples, or an array of n.
        rng : int, generator or None
            Where the noise comes from, as in `Model.sample`.
        method : {"particles", "independent"}
            Whether the witness is that between the particles and the data, in groups of at most
            2000 (at least 500 particles are moved), or that between noised and clean data: then
            no sample depends on the others.
        n_levels, n_steps : int
            Noise levels, evenly from t = 1 to one above `t_min`, and steps at each.
        step_size : float, optional
            eta; when not given, chosen at each level, see `DMMD`.
        denoise : int, optional
            Steps more at the last level, with momentum, in which particles see each other whatever
            the method; the nearest to the data that they come is handed out. When not given, none
            with independent ones, and 20 with particles under a linear kernel. Under others each
            particle rests, after 20 steps at least, where it is as near to a datum as that is to
            its nearest other one: before, it is noise, and far beyond, a copy of the datum. The
            steps end when 99 % of the particles rest, when the MMD falls by less than 1 % in 100
            steps, or after 1000. A given number of steps moves all particles.
        objective : {"mmd", "kale"}
            What particles descend; KALE's witness is the best function that is linear in the
            features, so it needs ``kernel="linear"``.
        regularization : float
            lambda of KALE.

        Returns
        -------
        array (n, \*shape)
            As of `Model.sample`.

        Raises
        ------
        TypeError, ValueError
            Arguments out of range, or a condition that does not fit.
        RuntimeError
            The model is not trained.
        """
        how = Sampling(method, n_levels, n_steps, step_size, denoise, objective, regularization)
        if objective == "kale" and self.settings.kernel != "linear":
            raise ValueError(
                f'objective="kale" needs a model with kernel="linear", got {self.settings.kernel!r}'
            )
        arguments = self._arguments(n, condition, rng)
        samples = cast(ClassFlows, self._trained.networks).draw(*arguments, how)
        if not bool(torch.isfinite(samples).all()):
            raise ValueError(
                "samples must stay finite: a smaller step_size or a larger regularization may help"
            )
        return self._given_back(samples)

    def _plan(self, task: Task) -> SingleNetworkPlan[ClassFlows]:
        points, condition = task.data.points, task.data.condition
        conditions, settings = task.data.description.conditions, self.settings
        order = keyed_generator(settings.seed, "kept").permutation(len(points))
        labels, classes = None, 0
        if condition is not None and conditions is not None:
            if conditions.kind != "labels":
                raise ValueError("condition must be labels: DMMD learns no other conditions")
            labels = condition.argmax(1)
            if int(torch.bincount(labels).min()) < 2:
                raise ValueError("condition must have every label at least twice")
            order = _each_first(order, labels.numpy())
            classes = conditions.shape[0]
            if settings.n_reference < classes:
                raise ValueError(
                    f"n_reference must be at least the number of labels, {classes}, "
                    f"got {settings.n_reference}"
                )
        rows = torch.from_numpy(order[: settings.n_reference])
        reference, kept_labels = points[rows], None if labels is None else labels[rows]
        return SingleNetworkPlan(
            task,
            settings,
            learning=partial(self._learning, task, labels, classes),
            sampler=lambda network, n: self._flows(network, reference, kept_labels, n),
        )

    def _learning(
        self, task: Task, labels: Tensor | None, classes: int, batch_size: int
    ) -> Learning:
        settings = replace(self.settings, batch_size=batch_size)
        validation = None
        if task.validator.held_out is not None:
            held, given = task.validator.held_out
            held_labels = None if given is None else given.argmax(1)
            loss = DMMDLoss(held, held_labels, classes, settings, self.device, "validation")
            validation = HeldOutLoss(loss)
        return Learning(
            DMMDLoss(task.data.points, labels, classes, settings, self.device),
            n_terms=settings.levels_per_step,
            validation=validation,
        )

    def _chosen(self, data: TrainingSet) -> DMMDSettings:
        given, settings = self._given, super()._chosen(data)
        images = settings.components == 1 and self._is_slow(data.description)
        batch_size = given.batch_size or (32 if images else 64)
        return replace(settings, batch_size=batch_size, architecture=given.architecture)

    def _load(self, saved: Saved) -> ClassFlows:
        origin, weights, conditions = saved.origin, saved.weights, saved.description.conditions
        if REFERENCE not in weights or (conditions is not None) != (LABELS in weights):
            raise ValueError(f"{origin}: the data that samples are compared with are missing")
        reference = as_points(REFERENCE, weights[REFERENCE])
        shape = saved.description.learned_shape
        if tuple(reference.shape[1:]) != shape:
            raise ValueError(
                f"{origin}: {REFERENCE} must have points of shape {shape}, "
                f"got {tuple(reference.shape[1:])}"
            )
        labels = weights.get(LABELS)
        if conditions is not None and labels is not None:
            known = torch.arange(conditions.shape[0])
            fits = labels.dtype == torch.int64 and labels.shape == reference.shape[:1]
            if not fits or not torch.equal(torch.unique(labels), known):
                raise ValueError(
                    f"{origin}: {LABELS} must name each of {len(known)} classes, one a point"
                )
        last = max(saved.networks)
        network = saved.factory.load(saved.networks[last], origin)
        return self._flows(network, reference, labels, last + 1)

    def _flows(
        self, network: nn.Module, reference: Tensor, labels: Tensor | None, n_rounds: int
    ) -> ClassFlows:
        features = cast(Features, network)
        return ClassFlows(features, reference, labels, self.settings, self.device, n_rounds)

    def _new_network(self, description: Description) -> Features:
        if self._network is not None:
            inner = super()._new_network(description)
        else:
            settings = self.settings
            inner = feature_network(
                settings.architecture, description.learned_shape, self._inputs(description),
                settings.n_features,
            )  # fmt: skip
        return Features(inner, with_points=self.settings.with_points)


def _each_first(order: Integers, labels: Integers) -> Integers:
    """The same order but for one point of each label that goes before all others."""
    _, first = np.unique(labels[order], return_index=True)
    return np.concatenate([order[first], np.delete(order, first)])
