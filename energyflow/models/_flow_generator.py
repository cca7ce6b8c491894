"""Generative sliced MMD flows: a chain of networks that learns a particle flow."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from energyflow_backends import library_of
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import _pictures
from .._checks import check_choice, check_count
from .._random import HostSource, Rng, as_source
from ._chain import Chain
from ._data import Conditions, Scaling, as_points, fingerprint, given_back, mean_distance
from ._flow_course import FlowCourse
from ._grid import save_grid
from ._networks import suited
from ._presets import PRESETS
from ._random import seeded_layers
from ._run_folder import RunFolder
from ._settings import FlowSettings, blocks, levels
from ._tensors import Tensors, load_weights, without_prefix
from ._trainer import Trainer

MODEL = "flow"


class FlowGenerator:
    r"""Networks that learn, block by block, how a flow carries noise to data.

    Particles flow for some steps from :math:`x` to :math:`x'`; a network :math:`\Phi_k` learns
    :math:`x - x'`; the next block begins where the chain so far carries noise. A sample is

    .. math:: x \leftarrow x - \Phi_k(x, c), \quad k = 0, 1, \dots, \qquad x \sim U[0, 1]^d ,

    for data that are scaled to the unit box. With conditions c the flow is a `ConditionalFlow`.

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

    def __init__(
        self,
        network: nn.Module | None = None,
        preset: str | None = None,
        *,
        device: str | torch.device | None = None,
        **settings: Any,
    ) -> None:
        base = FlowSettings()
        if preset is not None:
            base = PRESETS[check_choice("preset", preset, tuple(PRESETS))].settings
        self.settings = replace(base, **settings)
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(default if device is None else device)
        self._network = network
        self._described: dict[str, Any] = {}
        self._chain: Chain | None = None
        self._scaling: Scaling | None = None
        self._conditions: Conditions | None = None
        self._weights: Tensors = {}

    def fit(
        self,
        data: Any,
        condition: Any = None,
        held_out: Any = None,
        *,
        held_out_condition: Any = None,
        out: str | Path | None = None,
        resume: bool = False,
        budget: float | str | None = None,
        patience: int | None = None,
        name: str | None = None,
        progress: bool = True,
    ) -> Self:
        """Train on data, and on their conditions if they are given.

        Parameters
        ----------
        data : array (n, d) or (n, C, H, W)
            NumPy array or tensor of real floating numbers.
        condition : array, optional
            Integer labels (n,), vectors (n, m) or images (n, C', H', W').
        held_out, held_out_condition : arrays, optional
            What samples are compared with after each block; the data themselves when not given.
        out : path, optional
            The run's folder: settings, log, checkpoints, sample pictures, weights.
        resume : bool
            Go on with the run in `out`, if there is one, as if it had not been interrupted.
        budget : float or str, optional
            Seconds, or ``"10m"``, ``"5000 steps"``, for the whole run; see `Trainer`.
        patience : int, optional
            Stop when the distance to `held_out` has not fallen for so many blocks, and keep the
            chain up to the best block.
        name : str, optional
            What the data are called, for settings.json.
        progress : bool
            Show a bar on standard error.

        Returns
        -------
        FlowGenerator
            Itself.

        Raises
        ------
        TypeError, ValueError, OSError
            Data that do not fit, a folder that holds something else or another run.
        FlowDiverged, TrainingDiverged
            Numbers stopped being finite.
        """
        points = as_points("data", data)
        conditions, encoded = None, None
        if condition is not None:
            conditions, encoded = Conditions.of(condition, len(points))
        scaling = Scaling.of(points)
        scaled = scaling.apply(points)
        judges = _judges(
            held_out, held_out_condition, scaling, conditions, (scaled, encoded), patience
        )
        self._described = {
            "shape": list(points.shape[1:]),
            "library": "torch" if library_of(data) == "torch" else "numpy",
            "condition": _described(conditions),
            "spread": mean_distance(scaled),
            "given_network": self._network is not None,
            "data": name,
            "fingerprint": fingerprint(points, encoded),
        }
        self._scaling, self._conditions = scaling, conditions
        self._chain = self._new_chain()
        course = FlowCourse(
            self._chain,
            self.settings,
            (scaled, encoded),
            judges,
            description=self._settings_json(),
            scaling=scaling,
            conditions=conditions,
            picture=self._draw(points),
        )
        trainer = Trainer(
            out=out, resume=resume, budget=budget, patience=patience, progress=progress,
            ema=self.settings.ema, clip=self.settings.clip,
        )  # fmt: skip
        kept = trainer.train(course)
        self._take(course.weights(len(kept)))
        return self

    def sample(
        self, n: int, condition: Any = None, rng: Rng = None
    ) -> NDArray[np.float32] | Tensor:
        """Draw new samples.

        Parameters
        ----------
        n : int
            How many.
        condition : optional
            For a model with conditions: one for all samples (a label, a vector, an image), or an
            array of n.
        rng : int, numpy.random.Generator or None
            Where the noise comes from.

        Returns
        -------
        array (n, *shape)
            float32, in the units of the data; a tensor if the model was trained on one.

        Raises
        ------
        TypeError, ValueError
            A condition that does not fit, or is missing, or not known to the model.
        RuntimeError
            The model is not trained.
        """
        n = check_count("n", n)
        if self._chain is None or self._scaling is None or not len(self._chain):
            raise RuntimeError("this model is not trained: call fit, or load one")
        encoded = None
        if self._conditions is None:
            if condition is not None:
                raise ValueError("condition must be left out: the model was trained without")
        elif condition is None:
            raise ValueError(f"condition must be given: {self._conditions.kind} were learned")
        else:
            encoded = self._conditions.encode(condition, n).to(self.device)
        found = as_source(rng)
        if not isinstance(found, HostSource):
            raise TypeError("rng must be None, an int or a numpy.random.Generator")
        host = found.host(0, 0)
        samples = self._chain.push(self._chain.start(n, host), encoded, host, len(self._chain))
        return given_back(self._scaling.undo(samples), self._described["library"])

    @property
    def n_trained(self) -> int:
        """How many blocks are trained."""
        return 0 if self._chain is None else len(self._chain)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write settings.json and weights.safetensors to a new or empty folder.

        Raises
        ------
        OSError, ValueError
            The folder holds something, or cannot be written.
        RuntimeError
            The model is not trained.
        """
        if not self._weights:
            raise RuntimeError("this model is not trained: call fit, or load one")
        run = RunFolder(folder)
        run.start(self._settings_json(), resume=False)
        run.write_weights(self._weights)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Read a model that `save` or `fit` wrote; of a run that goes on, its finished blocks.

        Parameters
        ----------
        folder : path
            Of the run.
        network : Module, optional
            One of the same layers, where the model was trained with a network of the user's own.
        device : optional
            Where to put it.

        Raises
        ------
        OSError, ValueError
            There is no such run, or it is damaged; the file is named.
        """
        run = RunFolder(folder)
        found = run.settings(MODEL)
        try:
            settings = FlowSettings.from_json(found)
            described = {name: found[name] for name in _DESCRIPTION}
            kinds = described["condition"]
            conditions = None if kinds is None else Conditions(**_shaped(kinds))
            described["shape"] = [check_count("shape", k) for k in described["shape"]]
            described["spread"] = float(described["spread"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: settings.json is damaged: {error}") from None
        if described["given_network"] and network is None:
            raise ValueError(f"{folder}: the model has a network of its own; pass it as network=")
        model = cls(network, device=device, **vars(settings))
        model._described, model._conditions = described, conditions
        model._chain = model._new_chain()
        model._take(run.weights(), origin=str(folder))
        return model

    # -- parts of these

    def _settings_json(self) -> dict[str, Any]:
        return {"model": MODEL, **self._described, **self.settings.as_json()}

    def _new_chain(self) -> Chain:
        settings, shape = self.settings, tuple(self._described["shape"])
        found = levels(settings, shape, self._described["spread"])
        noise = settings.pyramid.noise if settings.pyramid is not None else 0.0
        plan = list(blocks(settings, found))
        seen = [] if self._conditions is None else [self._conditions.shape]
        if settings.one_network:
            seen.append((len(plan),))

        def new_network() -> nn.Module:
            if self._network is not None:
                return copy.deepcopy(self._network).to(self.device)
            form = settings.architecture or suited(shape)
            return form.build(shape, seen).to(self.device)

        return Chain(
            plan, found, noise, new_network, shared=settings.one_network, device=self.device
        )

    def _take(self, weights: Tensors, origin: str = "weights") -> None:
        """Be the model of these weights."""
        self._chain = self._new_chain()
        numbers = {int(name.split(".")[1]) for name in weights if name.startswith("networks.")}
        shared = self.settings.one_network
        if not numbers or (not shared and numbers != set(range(len(numbers)))):
            raise ValueError(f"{origin}: networks are missing from the weights")
        if max(numbers) >= len(self._chain.blocks) or not {"data.offset", "data.scale"} <= set(
            weights
        ):
            raise ValueError(f"{origin}: the weights are not those of the settings")
        last = max(numbers)
        with seeded_layers(self.settings.seed, "network"):
            for k in [last] if shared else range(last + 1):
                network = self._chain.new_network()
                load_weights(network, without_prefix(f"networks.{k}", weights), origin)
                for _ in range(last + 1 if shared else 1):
                    self._chain.add(network)
        self._scaling = Scaling(weights["data.offset"], weights["data.scale"])
        self._weights = {
            name: tensor.cpu() for name, tensor in weights.items()
            if name.startswith(("networks.", "data."))
        }  # fmt: skip

    def _draw(self, data: Tensor) -> Callable[[Path, Tensor], object]:
        """How samples are drawn: images as a grid, points in the plane over the data."""
        if data.ndim == 4 and data.shape[1] in (1, 3):
            return lambda path, samples: save_grid(path, samples.cpu().numpy())
        if data.ndim == 2 and data.shape[1] == 2 and find_spec("matplotlib") is not None:
            some = data[:2000].numpy()
            return lambda path, samples: _pictures.save_scatter(path, samples.cpu().numpy(), some)
        return lambda path, samples: None


_DESCRIPTION = (
    "shape", "library", "condition", "spread", "given_network", "data", "fingerprint",
)  # fmt: skip


def _judges(
    held_out: Any,
    condition: Any,
    scaling: Scaling,
    conditions: Conditions | None,
    data: tuple[Tensor, Tensor | None],
    patience: int | None,
) -> tuple[Tensor, Tensor | None]:
    """Held-out points with their conditions as networks see them, or else the data."""
    if held_out is None:
        if patience is not None:
            raise ValueError("patience needs held_out data")
        return data
    points = as_points("held_out", held_out)
    if points.shape[1:] != data[0].shape[1:]:
        raise ValueError(
            f"held_out must have points of shape {tuple(data[0].shape[1:])}, "
            f"got {tuple(points.shape[1:])}"
        )
    if (condition is None) != (conditions is None):
        raise ValueError("held_out_condition must be given with condition, and only then")
    encoded = None if conditions is None else conditions.encode(condition, len(points))
    return scaling.apply(points), encoded


def _described(conditions: Conditions | None) -> dict[str, Any] | None:
    return None if conditions is None else {**vars(conditions), "shape": list(conditions.shape)}


def _shaped(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "shape": tuple(found["shape"])}
