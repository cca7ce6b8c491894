"""What all models share: data and conditions in, a run's folder, samples out."""

from __future__ import annotations

import copy
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Generic, Self, cast

import numpy as np
import torch
from energyflow_backends import Floats
from torch import Tensor, nn

from .._core.checks import check_choice, check_count
from .._core.devices import as_device
from .._core.progress import tell
from .._core.random import Rng, as_source
from .._core.reading import naming
from ._choice import is_slow, n_validated, notice_of_pixels, why_not_reduced
from ._fitted import Fitted, Networks, SamplingDiverged
from ._networks import Architecture, UNet, suited, unet_for
from ._saved import (
    Saved,
    SavedSettings,
    as_in_run,
    origin_entries,
    scaling_of_components,
    settings_entries,
)
from ._settings import Preset, S
from ._weights import NetworkFactory
from .data.arrays import given_back
from .data.conditions_by_name import AnyConditions
from .data.loaders import in_memory
from .data.training_set import Description, Pair, TrainingSet
from .training.budget import Budget
from .training.options import Callback
from .training.plan import ModelPlan, Task
from .training.report import TrainingReport
from .training.run_folder import RunFolder
from .training.stage_training import adam
from .training.trainer import Trainer
from .training.validation import Validator

Write = Callable[[Path], object]


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
    report : TrainingReport or None
        Why the last training ended, and what the validation loss did.

    Raises
    ------
    TypeError, ValueError
        Settings that are unknown, of the wrong type or out of range, or a network that is none.
    """

    kind: ClassVar[str]
    presets: ClassVar[Mapping[str, Preset]]
    settings: S
    _standardised: ClassVar[bool] = True  # mean 0 and standard deviation 1, not the unit box
    _fewest_of_a_class: ClassVar[int] = 1  # points that training needs of each label
    _least_share: ClassVar[float] = 1.0  # of the variance of images, that principal components keep

    def __init__(
        self,
        network: nn.Module | None = None,
        preset: str | None = None,
        *,
        device: str | torch.device | None = None,
        **settings: Any,
    ) -> None:
        name = "default" if preset is None else preset
        chosen = self.presets[check_choice("preset", name, tuple(self.presets))]
        base, self._tested = chosen.settings, chosen.tested
        known = [field.name for field in fields(base)]
        unknown = ", ".join(sorted(settings.keys() - set(known)))
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no setting {unknown}; it has {', '.join(known)}"
            )
        if network is not None and not isinstance(network, nn.Module):
            raise TypeError(
                f"network must be a torch.nn.Module, got {type(network).__name__}; MLP and UNet "
                "are given as architecture="
            )
        self._given: S = replace(base, **settings)  # type: ignore[assignment]
        self.settings = self._given
        self.device = as_device(device)
        self._network = network
        self._fitted: Fitted[Networks] | None = None
        self.report: TrainingReport | None = None

    def __repr__(self) -> str:
        usual = self.presets["default"].settings
        names = [field.name for field in fields(usual)]
        given = {k: getattr(self._given, k) for k in names}
        words = [f"{k}={value!r}" for k, value in given.items() if value != getattr(usual, k)]
        return f"{type(self).__name__}({', '.join(words)}): {self._state}"

    @property
    def _state(self) -> str:
        """What it has learned, in a few words."""
        if self._fitted is None:
            return "not trained"
        description = self._fitted.description
        state = f"trained on data of shape {description.shape}"
        if description.conditions is not None:
            state += f" given {description.conditions.described}"
        return state if self.report is None else f"{state}, {self.report.n_steps} steps"

    @abstractmethod
    def _plan(self, task: Task) -> ModelPlan[Networks]:
        """The training plan."""

    @abstractmethod
    def _load(self, saved: Saved) -> Networks:
        """The networks of a run."""

    @property
    def n_trained(self) -> int:
        """How many stages are trained."""
        return 0 if self._fitted is None else self._fitted.networks.n_trained

    @property
    def given_network(self) -> bool:
        """Whether the network is the user's own."""
        return self._network is not None

    @property
    def fitted(self) -> Fitted[Networks] | None:
        """What `fit` or `load` made, one immutable value; None before."""
        return self._fitted

    @property
    def network(self) -> nn.Module:
        """The trained network, for use without this library.

        It is the one that samples use, not a copy: new weights change the samples, and so does
        ``.to(...)``, after which `sample` may fail; ``copy.deepcopy(model.network)`` is your own.
        Points are in the units of the networks, ``model.fitted.scaling.apply(points)``, and
        samples come back with ``model.fitted.scaling.undo(points)``.

        Returns
        -------
        Module
            Of `FlowMatching` the velocity, ``network(x, *conditions, time)`` with time
            (n, 1); with `condition_dropout`, the mask (n, 1) of the condition goes before the
            time. Of `DMMD` the features, ``network(x, time, *conditions)`` with time (n,). Of
            `FlowGenerator` a ``ModuleList``: a network for each block, or one alone with
            `one_network`.

        Raises
        ------
        RuntimeError
            The model is not trained.
        """
        return self._trained.networks.module

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
        stop_after: float | str | None = None,
        patience: int | None = None,
        name: str | None = None,
        progress: bool = True,
        callbacks: Callback | Sequence[Callback] = (),
        n_validation: int | None = None,
        on_start: Write | None = None,
    ) -> Self:
        """Train on data, and on their conditions if they are given.

        Parameters
        ----------
        data : array (n, d), (n, H, W) or (n, C, H, W), Dataset or DataLoader
            Real numbers; images (n, H, W) have one channel. A data set or loader of torch is
            read into memory, once and in its order; when it gives pairs, they are data and
            condition.
        condition : array or dict of arrays, optional
            Integer labels (n,), vectors (n, m), series or sets (n, k, m) or images
            (n, C', H', W'); or several by their names, labels and vectors:
            ``{"class": labels, "age": ages[:, None]}``. Each number of vectors is standardised by
            itself, and so is each column of series.
        held_out, held_out_condition : arrays (m, ...), optional
            Validation data, as `data` and `condition`: the weights that serve them best are kept,
            training ends when the loss on them falls no more, and samples are compared with them
            after each stage. When not given, the settings' share (`validation`) of the data is
            held out for that.
        out : path, optional
            The run's folder: settings, log, checkpoints, sample pictures, weights.
        resume : bool
            Resume the run in `out`, if there is one, as if it had not been interrupted. Settings
            that are not given, and that data and device decide, are those of the run.
        budget : float or str, optional
            Seconds, or ``"10m"``, ``"5000 steps"``, for a finished model: steps, stages and
            validation are planned to fit; see `Trainer`.
        stop_after : float or str, optional
            Seconds or steps, as for `budget`, after which this call cuts the training with a
            checkpoint, and changes nothing else.
        patience : int, optional
            Early stopping: stop when the distance to `held_out` has not fallen for so many stages,
            and keep the best one.
        name : str, optional
            What the data are called, for settings.json.
        progress : bool
            Show a bar on standard error.
        callbacks : callable or sequence of callables
            Each is called as ``callback(stage, step, losses)`` for each row of the log; training is
            cut, and can be resumed, when one returns something true; see `Trainer`.
        n_validation : int, optional
            Samples that are drawn for the validation after each stage. When not given, 2000; 250
            of images that a UNet, or a network of your own, learns on a CPU without a budget of
            seconds.
        on_start : callable, optional
            Called with the run's folder, where there is one, before the first step: it writes
            what else belongs there.

        Returns
        -------
        Model
            Itself.

        Raises
        ------
        TypeError, ValueError, OSError
            The data do not fit; the folder holds something else or another run.
        FlowDiverged, TrainingDiverged
            Numbers stopped being finite.

        Notes
        -----
        A model that is fitted already stays as it is until training has ended. A first training
        that is interrupted leaves what it has reached.
        """
        start, settings = perf_counter(), self._given
        data, condition = in_memory("data", data, condition)
        held_out, held_out_condition = in_memory("held_out", held_out, held_out_condition)
        trainer = Trainer(
            out=out, resume=resume, budget=budget, stop_after=stop_after, patience=patience,
            progress=progress, callbacks=callbacks, ema=settings.ema, clip=settings.clip,
            optimizer=partial(adam, weight_decay=settings.weight_decay),
            estimates=not self._tested,
        )  # fmt: skip
        training = TrainingSet.of(
            data, condition,
            standardised=self._standardised, given_network=self.given_network, name=name,
        )  # fmt: skip
        before, in_use = self._fitted, self.settings
        self.settings = self._chosen(training)
        try:
            training = self._in_units_of_run(training, trainer.folder if resume else None)
            if progress and (notice := self._notice(training)):
                tell(notice)
            if held_out is None:
                share, seed = settings.validation, settings.seed
                training, held = training.shared(share, seed, self._fewest_of_a_class)
            else:
                held = training.held_out(held_out, held_out_condition)
            if held is None and patience is not None:
                raise ValueError("patience needs held_out data, or more data to share")
            n_samples = self._n_samples(n_validation, training.description, trainer.limits)
            plan = self._planned(training, held, held_out is not None, n_samples)
            kept = trainer.train(plan, on_start, start=start)
            self._fitted, self.report = plan.fitted(len(kept)), trainer.report
        except KeyboardInterrupt:
            if self._fitted is None and trainer.reached:
                self._fitted, self.report = plan.fitted(len(trainer.reached)), trainer.report
            raise
        finally:
            if self._fitted is before:
                self.settings = in_use
        return self

    def _in_units_of_run(self, training: TrainingSet, run: RunFolder | None) -> TrainingSet:
        """The data in the units of the networks; settings and axes are those of a run's folder."""
        known = None
        if run is not None:
            self.settings = as_in_run(run, self._given, self.settings)
            if self.settings.of_components:
                known = scaling_of_components(run, training.description.shape)
        return self._in_units(training) if known is None else training.in_units(known)

    def _n_samples(self, given: int | None, description: Description, limits: Budget) -> int:
        """How many are drawn for the validation after each stage."""
        if given is not None:
            return check_count("n_validation", given)
        timed = math.isfinite(limits.seconds)
        return n_validated(description, self.settings, self.device, timed=timed)

    def _planned(
        self, training: TrainingSet, held: Pair | None, given: bool, n_samples: int
    ) -> ModelPlan[Networks]:
        """The training plan; `given` says whether the held-out data are the user's own."""
        description = training.description
        weight, seed = self._weight(description), self.settings.seed
        validator = Validator(training, held, weight, n_samples, seed, self.device)
        origin = origin_entries(held if given else None, self._own_modules(), self.device)
        entries = self._entries(description) | origin
        return self._plan(Task(training, validator, self._factory(description), entries))

    def _chosen(self, data: TrainingSet) -> S:
        """The settings with what was left open."""
        settings = self._given
        reduced = self._may_reduce(data.description) and why_not_reduced(data) is None
        share = settings.components or (self._least_share if reduced else 1.0)
        settings = replace(settings, components=share)
        built = self._network is None and settings.architecture is None
        if built and share == 1 and isinstance(self._suited(data.description.shape), UNet):
            settings = replace(settings, architecture=unet_for(self.device))
        return settings

    def _may_reduce(self, description: Description) -> bool:
        """Whether data are images on a CPU, and nothing needs them as they are."""
        conditions, form = description.conditions, self._given.architecture
        free = self._network is None and not isinstance(form, UNet)
        free &= conditions is None or conditions.kind == "labels"
        return free and self._least_share < 1 and self._is_slow(description)

    def _notice(self, data: TrainingSet) -> str | None:
        """What to know, before training, of settings that were left open."""
        reason = why_not_reduced(data)
        if reason is None or self._given.components or not self._may_reduce(data.description):
            return None
        return notice_of_pixels(reason, type(self).__name__, self._least_share)

    def _in_units(self, data: TrainingSet) -> TrainingSet:
        """The data in the units that belong to the settings."""
        share = cast(float, self.settings.components)
        return data if share == 1 else data.in_components(share)

    def sample(self, n: int, condition: Any = None, rng: Rng = None) -> Floats | Tensor:
        """Draw new samples.

        Parameters
        ----------
        n : int
            How many.
        condition : optional
            For a model with conditions: one for all samples (a label, a vector, an image), or an
            array of n; where there are several, a dict with such an entry for each.
        rng : int, generator or None
            Where the noise comes from: a seed, a generator of NumPy or torch, or fresh entropy.

        Returns
        -------
        array (n, *shape)
            In the units of the data, float64 if these are and float32 otherwise; a tensor if the
            model was trained on one.

        Raises
        ------
        TypeError, ValueError
            A condition that does not fit, or is missing, or not known to the model.
        SamplingDiverged
            Samples are not finite.
        RuntimeError
            The model is not trained.
        """
        return self._given_back(self._trained.networks.draw(*self._arguments(n, condition, rng)))

    def save(self, folder: str | os.PathLike[str], *, on_save: Write | None = None) -> None:
        """Write settings.json and weights.safetensors to a new or empty folder.

        Writing is atomic: a new folder is complete or absent, whatever interrupts it.

        Parameters
        ----------
        folder : path
            A new or empty one.
        on_save : callable, optional
            Called with the folder before it is complete: it writes what else belongs there.

        Raises
        ------
        OSError, ValueError
            The folder holds something, or cannot be written.
        RuntimeError
            The model is not trained.
        """
        fitted, run = self._trained, RunFolder(folder)
        entries = self._entries(fitted.description)
        run.check(entries, resume=False)
        with run.new() as new:
            new.start(entries)
            new.write_weights(fitted.weights())
            if on_save is not None:
                on_save(new.path)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        embedding: nn.Module | None = None,
        device: str | torch.device | None = None,
    ) -> Self:
        """Read a model that `save` or `fit` wrote; of an unfinished run, its finished stages.

        Parameters
        ----------
        folder : path
            Of the run.
        network : Module, optional
            One of the same layers, where the model was trained with a network of the user's own.
        embedding : Module, optional
            The same for its embedding of conditions.
        device : optional
            Where to put it.

        Raises
        ------
        OSError, ValueError
            There is no such run, or it is damaged; the file is named.
        """
        run = RunFolder(folder)
        saved = SavedSettings.read(run, cls.kind, type(cls.presets["default"].settings))
        saved.check_modules(run, network, embedding)
        modules: dict[str, Any] = {} if embedding is None else {"embedding": embedding}
        model = cls(network, device=device, **modules, **vars(saved.given))
        model.settings = saved.in_use  # type: ignore[assignment]
        with naming(folder):
            factory = model._factory(saved.description)
            weights = Saved.read(run, saved.description, factory)
            model._fitted = Fitted(saved.description, weights.scaling, model._load(weights))
        return model

    @property
    def _trained(self) -> Fitted[Networks]:
        if self._fitted is None:
            raise RuntimeError("this model is not trained: call fit, or load one")
        return self._fitted

    def _entries(self, description: Description) -> dict[str, Any]:
        """For settings.json."""
        return settings_entries(self.kind, description, self.settings, self._given)

    def _own_modules(self) -> nn.Module | None:
        """The network that is the user's own."""
        return self._network

    def _factory(self, description: Description) -> NetworkFactory:
        return NetworkFactory(
            partial(self._new_network, description),
            given=self._network is not None, seed=self.settings.seed, device=self.device,
        )  # fmt: skip

    def _new_network(self, description: Description) -> nn.Module:
        if self._network is not None:
            return copy.deepcopy(self._network)
        form = self.settings.architecture or self._suited(description.learned_shape)
        return form.build(description.learned_shape, self._inputs(description))

    def _is_slow(self, description: Description) -> bool:
        """Whether the data are images, learned on a CPU."""
        return is_slow(description, self.device)

    def _suited(self, shape: tuple[int, ...]) -> Architecture:
        """The architecture for points of a shape, where none is given."""
        return suited(shape)

    def _inputs(self, description: Description) -> list[tuple[int, ...]]:
        """Shapes of what networks see besides the points."""
        return [] if description.conditions is None else [description.conditions.shape]

    def _weight(self, description: Description) -> float:
        """The factor of encoded conditions, where samples are compared with data."""
        return 1.0

    def _arguments(
        self, n: int, condition: Any, rng: Rng
    ) -> tuple[int, Tensor | None, np.random.Generator]:
        """The arguments of `sample`, checked: how many, conditions for networks, noise."""
        n, conditions, encoded = check_count("n", n), self._conditions_like(condition), None
        if conditions is None:
            if condition is not None:
                raise ValueError("condition must be left out: the model was trained without")
        elif condition is None:
            raise ValueError(f"condition must be given: {conditions.described} were learned")
        else:
            encoded = conditions.encode(condition, n).to(self.device)
        return n, encoded, as_source(rng).host(0, 0)

    def _conditions_like(self, condition: Any) -> AnyConditions | None:
        """How conditions are encoded, of which one is given."""
        return self._trained.description.conditions

    def _given_back(self, samples: Tensor) -> Floats | Tensor:
        """In the units and the library of the data."""
        fitted = self._trained
        points = fitted.scaling.undo(samples)
        bad = int((~torch.isfinite(points)).flatten(1).any(1).sum())
        if bad:
            raise SamplingDiverged(f"{bad} of {len(points)} samples are not finite")
        return given_back(points, fitted.description.library)
