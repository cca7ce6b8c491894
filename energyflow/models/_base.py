"""What all models share: data and conditions in, a run's folder, samples out."""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from energyflow_backends import library_of
from numpy.typing import NDArray
from torch import Tensor, nn

from .._core import pictures as _pictures
from .._core.checks import check_choice, check_count, check_flag, check_number
from .._core.image_grid import save_grid
from .._core.random import HostSource, Rng, as_source
from .._core.reading import naming
from ._random import seeded_layers
from ._settings import ModelSettings
from ._tensors import Tensors, load_weights, without_prefix
from .data.conditions import AnyConditions, read_conditions, revived
from .data.scaling import Scaling, as_points, check_shape, fingerprint, given_back, mean_distance
from .flow_generator.presets import Preset
from .training.plan import Course
from .training.run_folder import RunFolder
from .training.trainer import Trainer
from .training.validation import Judge

S = TypeVar("S", bound=ModelSettings)
Pair = tuple[Tensor, Tensor | None]

_DESCRIPTION = (
    "shape", "library", "condition", "spread", "given_network", "data", "fingerprint",
)  # fmt: skip


class Model(ABC, Generic[S]):
    """Learns to sample from data, with or without conditions; each model is a subclass.

    Parameters
    ----------
    network : Module, optional
        In place of the one that the settings' `architecture` builds.
    preset : str, optional
        A key of the model's `presets`, whose settings are taken for those not given.
    device : str or device, optional
        Where to train; CUDA if there is one, else the CPU.
    **settings
        Of the model.

    Attributes
    ----------
    settings
        All settings in use.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown, of the wrong type or out of range.
    """

    kind: ClassVar[str]
    presets: ClassVar[Mapping[str, Preset]]
    settings: S
    _standardised: ClassVar[bool] = True  # mean 0 and standard deviation 1, not the unit box

    def __init__(
        self,
        network: nn.Module | None = None,
        preset: str | None = None,
        *,
        device: str | torch.device | None = None,
        **settings: Any,
    ) -> None:
        name = "default" if preset is None else preset
        base = self.presets[check_choice("preset", name, tuple(self.presets))].settings
        self.settings = replace(base, **settings)  # type: ignore[assignment]
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(default if device is None else device)
        self._network = network
        self._described: dict[str, Any] = {}
        self._scaling: Scaling | None = None
        self._conditions: AnyConditions | None = None
        self._weights: Tensors = {}

    # -- what each model adds

    @abstractmethod
    def _course(self, data: Pair, judge: Judge) -> Course:
        """The stages of training; data are in the units of the networks."""

    @abstractmethod
    def _take(self, networks: dict[int, Tensors], origin: str) -> None:
        """Be the model of these networks, the last one of each stage that is kept."""

    @abstractmethod
    def _draw(self, n: int, condition: Tensor | None, rng: np.random.Generator) -> Tensor:
        """Samples, in the units of the networks."""

    # -- what users call

    @property
    def n_trained(self) -> int:
        """How many stages are trained."""
        return max(_stages(self._weights), default=-1) + 1

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
        condition : array or dict of arrays, optional
            Integer labels (n,), vectors (n, m) or images (n, C', H', W'); or several by their
            names, labels and vectors: ``{"class": labels, "age": ages[:, None]}``.
        held_out, held_out_condition : arrays (m, ...), optional
            What samples are compared with after each stage; the data themselves when not given.
        out : path, optional
            The run's folder: settings, log, checkpoints, sample pictures, weights.
        resume : bool
            Go on with the run in `out`, if there is one, as if it had not been interrupted.
        budget : float or str, optional
            Seconds, or ``"10m"``, ``"5000 steps"``, for the whole run; see `Trainer`.
        patience : int, optional
            Stop when the distance to `held_out` has not fallen for so many stages, and keep the
            best one.
        name : str, optional
            What the data are called, for settings.json.
        progress : bool
            Show a bar on standard error.

        Returns
        -------
        Model
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
            conditions, encoded = read_conditions(condition, len(points))
        scaling = Scaling.standard(points) if self._standardised else Scaling.of(points)
        scaled = scaling.apply(points)
        self._scaling, self._conditions = scaling, conditions
        judges = self._judges(held_out, held_out_condition, (scaled, encoded), patience)
        self._described = {
            "shape": list(points.shape[1:]),
            "library": "torch" if library_of(data) == "torch" else "numpy",
            "condition": None if conditions is None else conditions.as_json(),
            "spread": mean_distance(scaled),
            "given_network": self._network is not None,
            "data": name,
            "fingerprint": fingerprint(points, encoded),
        }
        judge = Judge(
            *judges, conditions, weight=self._weight, seed=self.settings.seed, device=self.device
        )
        course = self._course((scaled, encoded), judge)
        trainer = Trainer(
            out=out, resume=resume, budget=budget, patience=patience, progress=progress,
            ema=self.settings.ema, clip=self.settings.clip,
        )  # fmt: skip
        kept = trainer.train(course, self._begun)
        self._read_weights(course.weights(len(kept)), "weights")
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
            array of n; where there are several, a dict with such an entry for each.
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
        return self._given_back(self._draw(*self._asked(n, condition, rng)))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write settings.json and weights.safetensors to a new or empty folder.

        A new folder is complete or absent, whatever interrupts the writing.

        Raises
        ------
        OSError, ValueError
            The folder holds something, or cannot be written.
        RuntimeError
            The model is not trained.
        """
        with self._saving(folder):
            pass

    @contextmanager
    def _saving(self, folder: str | os.PathLike[str]) -> Iterator[Path]:
        """Save, once the block has put what else belongs into the folder that it is given."""
        self._check_trained()
        run = RunFolder(folder)
        run.check(self._description(), resume=False)
        with run.new() as new:
            new.start(self._description())
            new.write_weights(self._weights)
            yield new.path

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Read a model that `save` or `fit` wrote; of a run that goes on, its finished stages.

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
        found = run.settings(cls.kind)
        kind = type(cls.presets["default"].settings)
        try:
            settings = kind.from_json(found)
            described = {name: found[name] for name in _DESCRIPTION}
            kinds = described["condition"]
            conditions = None if kinds is None else revived(kinds)
            described["shape"] = list(check_shape("shape", described["shape"], 1, 3))
            if not 0 <= check_number("spread", described["spread"]) < math.inf:
                raise ValueError(f"spread must be at least 0, got {described['spread']}")
            check_choice("library", described["library"], ("numpy", "torch"))
            check_flag("given_network", described["given_network"])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{folder}: settings.json is damaged: {error}") from None
        if described["given_network"] and network is None:
            raise ValueError(f"{folder}: the model has a network of its own; pass it as network=")
        model = cls(network, device=device, **vars(settings))
        model._described, model._conditions = described, conditions
        with naming(folder):
            model._read_weights(run.weights(), str(folder))
        return model

    # -- parts of these

    _begun: Callable[[Path], object] = staticmethod(lambda folder: None)  # when a run has begun
    _weight: float | str = 1.0  # of conditions, where samples are compared with data

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of one point."""
        return tuple(self._described["shape"])

    def _description(self) -> dict[str, Any]:
        return {"model": self.kind, **self._described, **self.settings.as_json()}

    def _judges(self, held_out: Any, condition: Any, data: Pair, patience: int | None) -> Pair:
        """Held-out points with their conditions as networks see them, or else the data."""
        if held_out is None:
            if patience is not None:
                raise ValueError("patience needs held_out data")
            return data
        assert self._scaling is not None
        points = as_points("held_out", held_out)
        if points.shape[1:] != data[0].shape[1:]:
            raise ValueError(
                f"held_out must have points of shape {tuple(data[0].shape[1:])}, "
                f"got {tuple(points.shape[1:])}"
            )
        if (condition is None) != (self._conditions is None):
            raise ValueError("held_out_condition must be given with condition, and only then")
        encoded = None
        if self._conditions is not None:
            encoded = self._conditions.encode(condition, len(points))
        return self._scaling.apply(points), encoded

    def _asked(
        self, n: int, condition: Any, rng: Rng
    ) -> tuple[int, Tensor | None, np.random.Generator]:
        """The arguments of `sample`, checked: how many, conditions for networks, noise."""
        n = check_count("n", n)
        self._check_trained()
        encoded = None
        if self._conditions is None:
            if condition is not None:
                raise ValueError("condition must be left out: the model was trained without")
        elif condition is None:
            raise ValueError(f"condition must be given: {self._conditions.described} were learned")
        else:
            encoded = self._conditions.encode(condition, n).to(self.device)
        found = as_source(rng)
        if not isinstance(found, HostSource):
            raise TypeError("rng must be None, an int or a numpy.random.Generator")
        return n, encoded, found.host(0, 0)

    def _given_back(self, samples: Tensor) -> NDArray[np.float32] | Tensor:
        """In the units and the library of the data."""
        assert self._scaling is not None
        return given_back(self._scaling.undo(samples), self._described["library"])

    def _check_trained(self) -> None:
        if not self._weights:
            raise RuntimeError("this model is not trained: call fit, or load one")

    def _read_weights(self, weights: Tensors, origin: str) -> None:
        numbers = _stages(weights)
        if not numbers or not {"data.offset", "data.scale"} <= set(weights):
            raise ValueError(f"{origin}: networks are missing from the weights")
        self._scaling = Scaling.from_tensors(weights, self._shape)
        self._weights = {
            name: tensor.cpu() for name, tensor in weights.items()
            if name.startswith(("networks.", "data."))
        }  # fmt: skip
        self._take({k: without_prefix(f"networks.{k}", weights) for k in sorted(numbers)}, origin)

    def _with_weights(
        self, build: Callable[[], nn.Module], weights: Tensors, origin: str
    ) -> nn.Module:
        """A network of these weights; it takes no memory before they fit."""
        if self._network is not None:
            network = build()
            load_weights(network, weights, origin)
        else:
            with seeded_layers(self.settings.seed, "network"), torch.device("meta"):
                network = build()
            load_weights(network, weights, origin, assign=True)
        return network.to(self.device).eval()

    def _seeded(self, build: Callable[[], nn.Module]) -> nn.Module:
        """A new network, on the device, its layers initialised by the seed."""
        with seeded_layers(self.settings.seed, "network"):
            return build().to(self.device)

    def _picture(self, path: Path, samples: Tensor, data: Tensor) -> None:
        """Draw samples: images as a grid, points in the plane over the data.

        Both are in the units of the networks; black and white are the least and the greatest
        number of the data.
        """
        assert self._scaling is not None
        if samples.ndim == 4 and samples.shape[1] in (1, 3) and find_spec("PIL") is not None:
            black, white = data.min().item(), data.max().item()
            save_grid(path, (samples.cpu().numpy() - black) / ((white - black) or 1.0))
        elif tuple(samples.shape[1:]) == (2,) and find_spec("matplotlib") is not None:
            drawn, wanted = map(self._scaling.undo, (samples.cpu(), data[:2000]))
            _pictures.save_scatter(path, drawn.numpy(), wanted.numpy())


def _stages(weights: Tensors) -> set[int]:
    """The stages whose networks are among the weights."""
    found = (re.match(r"networks\.([0-9]{1,6})\.", name) for name in weights)
    return {int(match[1]) for match in found if match is not None}
