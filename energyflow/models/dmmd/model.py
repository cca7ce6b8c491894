"""Deep MMD gradient flows: features of noise levels, and particles that follow their witness."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..._core.random import Rng
from .._base import Model, Pair
from .._networks import MLP
from .._random import generator
from .._tensors import Tensors
from ..data.scaling import as_points
from ..flow_generator.presets import Preset
from ..training.rounds import Rounds
from ..training.validation import Draw, Judge
from .feature_network import Features, feature_network
from .loss import DMMDLoss
from .sampler import Sampler, Sampling
from .settings import DMMDSettings

_PART = 4096  # points whose features are computed at once
_JUDGED = Sampling(n_levels=5, n_steps=2, denoise=5)  # between rounds a rougher sample does
_REFERENCE, _LABELS = "data.reference", "data.reference_labels"


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
    presets: ClassVar[dict[str, Preset]] = {
        "default": Preset(DMMDSettings(), True, "for two CPU cores"),
        "paper": Preset(
            DMMDSettings(
                n_steps=250_000, n_rounds=50, learning_rate=1e-4, learning_rate_decay="constant",
                kernel="linear", with_points=False, penalty="unit", penalty_weight=1.0,
                feature_penalty=0.1, architecture=MLP(width=256, depth=3),
            ),
            False,
            "the losses of Galashov et al. (ICLR 2025) with a network of ours; not yet run",
        ),
    }  # fmt: skip
    _features: Features | None = None
    _n_rounds = 0

    @property
    def n_trained(self) -> int:
        """How many rounds are trained."""
        return self._n_rounds

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
    ) -> NDArray[np.float32] | Tensor:
        r"""Draw new samples.

        Parameters
        ----------
        n : int
            How many.
        condition : optional
            For a model with labels: one for all samples, or an array of n.
        rng : int, numpy.random.Generator or None
            Where the noise comes from.
        method : {"particles", "independent"}
            Whether the witness is that between the particles and the data, in groups of at most
            2000 (at least 500 particles are moved), or that between noised and clean data: then
            no sample depends on the others.
        n_levels, n_steps : int
            Noise levels, evenly from t = 1 to `t_min`, and steps at each.
        step_size : float, optional
            eta; when not given, chosen at each level, see `DMMD`.
        denoise : int, optional
            Steps more at the last level, with momentum, in which particles see each other whatever
            the method; 20 with particles and none with independent ones when not given.
        objective : {"mmd", "kale"}
            What particles descend; KALE's witness is the best function that is linear in the
            features, so it needs ``kernel="linear"``.
        regularization : float
            lambda of KALE.

        Returns
        -------
        array (n, \*shape)
            float32, in the units of the data; a tensor if the model was trained on one.

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
        n, encoded, generator = self._asked(n, condition, rng)
        samples = self._draw(n, encoded, generator, how)
        if not bool(torch.isfinite(samples).all()):
            raise ValueError(
                "samples must stay finite: a smaller step_size or a larger regularization may help"
            )
        return self._given_back(samples)

    def _draw(
        self,
        n: int,
        condition: Tensor | None,
        rng: np.random.Generator,
        how: Sampling | None = None,
    ) -> Tensor:
        assert self._features is not None
        return self._drawn(self._features, self._weights, how or Sampling(), n, condition, rng)

    def _course(self, data: Pair, judge: Judge) -> Rounds:
        assert self._scaling is not None
        points, encoded = data
        labels = None
        if encoded is not None:
            if self._conditions is None or self._conditions.kind != "labels":
                raise ValueError("condition must be labels: DMMD learns no other conditions")
            labels = encoded.argmax(1)
            if int(torch.bincount(labels).min()) < 2:
                raise ValueError("condition must have every label at least twice")
        order = generator(self.settings.seed, "kept").permutation(len(points))
        if labels is not None:
            order = _each_first(order, labels.numpy())
            classes = int(labels.max()) + 1
            if self.settings.n_reference < classes:
                raise ValueError(
                    f"n_reference must be at least the number of labels, {classes}, "
                    f"got {self.settings.n_reference}"
                )
        rows = torch.from_numpy(order[: self.settings.n_reference])
        kept = {_REFERENCE: points[rows]} | ({} if labels is None else {_LABELS: labels[rows]})

        def drawing(network: nn.Module) -> Draw:
            assert isinstance(network, Features)
            return lambda n, condition, rng: self._drawn(network, kept, _JUDGED, n, condition, rng)

        return Rounds(
            self._seeded(self._new_features),
            self.settings,
            self.settings.n_steps,
            self.settings.n_rounds,
            DMMDLoss(points, labels, self.settings, self.device),
            self.settings.levels_per_step,
            drawing,
            judge,
            description=self._description(),
            scaling=self._scaling,
            picture=lambda path, samples: self._picture(path, samples, points),
            kept=kept,
        )

    def _drawn(
        self,
        network: Features,
        kept: Tensors,
        how: Sampling,
        n: int,
        condition: Tensor | None,
        rng: np.random.Generator,
    ) -> Tensor:
        """Samples of all that are asked for, class by class."""
        reference = kept[_REFERENCE].to(self.device)
        if condition is None:
            return Sampler(_at(network, None), reference, self.settings, how).draw(n, rng)
        asked, known = condition.argmax(1), kept[_LABELS].to(self.device)
        found = torch.empty(n, *self._shape, device=self.device)
        for label in sorted(set(asked.tolist())):
            code = functional.one_hot(torch.tensor(label), condition.shape[1]).float()
            own = reference[known == label]
            sampler = Sampler(_at(network, code.to(self.device)), own, self.settings, how)
            wanted = asked == label
            found[wanted] = sampler.draw(int(wanted.sum()), rng)
        return found

    def _new_features(self) -> Features:
        if self._network is not None:
            inner = copy.deepcopy(self._network)
        else:
            seen = [] if self._conditions is None else [self._conditions.shape]
            inner = feature_network(
                self.settings.architecture, self._shape, seen, self.settings.n_features
            )
        return Features(inner, with_points=self.settings.with_points)

    def _take(self, networks: dict[int, Tensors], origin: str) -> None:
        network = self._with_weights(self._new_features, networks[max(networks)], origin)
        assert isinstance(network, Features)
        self._features, self._n_rounds = network, max(networks) + 1

    def _read_weights(self, weights: Tensors, origin: str) -> None:
        labelled = self._conditions is not None
        if _REFERENCE not in weights or labelled != (_LABELS in weights):
            raise ValueError(f"{origin}: the data that samples are compared with are missing")
        reference = as_points(_REFERENCE, weights[_REFERENCE])
        if tuple(reference.shape[1:]) != self._shape:
            raise ValueError(
                f"{origin}: {_REFERENCE} must have points of shape {self._shape}, "
                f"got {tuple(reference.shape[1:])}"
            )
        if self._conditions is not None:
            labels = weights[_LABELS]
            known = torch.arange(self._conditions.shape[0])
            fits = labels.dtype == torch.int64 and labels.shape == reference.shape[:1]
            if not fits or not torch.equal(torch.unique(labels), known):
                raise ValueError(
                    f"{origin}: {_LABELS} must name each of {len(known)} classes, one a point"
                )
        super()._read_weights(weights, origin)


def _each_first(order: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same order but for one point of each label that goes before all others."""
    _, first = np.unique(labels[order], return_index=True)
    return np.concatenate([order[first], np.delete(order, first)])


def _at(network: Features, code: Tensor | None) -> Any:
    """Features as a function of points and one time, with the code of a label (classes,)."""

    def features(points: Tensor, time: float) -> Tensor:
        found = []
        for part in torch.split(points, _PART):
            given = [torch.full((len(part),), time, device=part.device)]
            if code is not None:
                given.append(code.expand(len(part), -1))
            found.append(network(part, *given))
        return torch.cat(found)

    return features
