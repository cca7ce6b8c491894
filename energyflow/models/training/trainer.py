"""The training loop that all models share."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, TypeVar

from energyflow_backends import EnergyflowError, agree, any_process, is_first

from ..._core import interrupts as _interrupts
from ..._core.checks import check_count, check_path
from ..._core.memory import TRAINING, advising
from ..._core.progress import Progress
from .._weights import Tensors
from .budget import Budget
from .early_stopping import best, stops_early
from .log import Log
from .plan import Report, TrainingPlan
from .run_folder import Record, RunFolder
from .stage_training import Optimisation, StageTraining

_CHECKPOINT_SECONDS = 300
P = ParamSpec("P")
R = TypeVar("R")


def _renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept the old names of arguments as well, with a warning: ``_renamed(old="new")``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    reason = f"{old} is now called {new}"
                    warnings.warn(reason, DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


class TrainingDiverged(EnergyflowError):
    """Losses, weights or samples were not finite: `.stage` and its `.step` say when.

    The numbers in a run's folder are finite: they are checked before a checkpoint is written.
    """

    def __init__(self, stage: int, step: int) -> None:
        super().__init__(
            f"losses, weights or samples are not finite at step {step} of stage {stage}; a smaller "
            "learning rate may help"
        )
        self.stage = stage
        self.step = step

    def __reduce__(self) -> tuple[type, tuple[int, int]]:
        return type(self), (self.stage, self.step)


@dataclass(kw_only=True, eq=False)
class Trainer(Optimisation):
    """Trains the networks of a plan, keeps a log and checkpoints, and resumes after a kill.

    Parameters
    ----------
    out : path, optional
        The run's folder; nothing is written when not given.
    resume : bool
        Resume the run that is in the folder, if there is one.
    budget : float, str or None
        Seconds, or text such as ``"10m"`` or ``"5000 steps"``, for the whole run, its earlier
        calls included. A stage that would not fit, were it as long as the one before, is not
        begun; the first one always is.
    ema : float
        Decay of the exponential moving average of the weights, 0 for none; the average is what is
        kept. In the first steps the decay is less, at most (1 + k) / (10 + k) after k, so that the
        average forgets where training began.
    clip : float, optional
        Largest norm of the gradient of all weights.
    mixed_precision : bool
        bfloat16 where it is safe, on CUDA devices.
    optimizer : callable
        Makes the optimiser of a stage from parameters and a learning rate.
    patience : int, optional
        Early stopping: stop when the plan's distance has not fallen for so many stages, and keep
        the best.
    log_every : int
        Steps between rows of the log.
    checkpoint_every : int, optional
        Steps between checkpoints inside a stage; five minutes when not given.
    progress : bool
        Show a bar on standard error.

    Raises
    ------
    TypeError, ValueError
        A budget that cannot be read, counts that are not positive.

    Notes
    -----
    A run that was interrupted and resumed gives the weights of one that was not, to the last bit,
    on the same machine with the same number of threads, unless a budget of seconds ended it.

    An interrupt (Ctrl-C) among the steps of a stage ends the step first, and keeps a checkpoint.

    Inside `energyflow.distributed.sharded` each process takes its part of the terms of a step's
    loss, and of the slices of flows and distances. All read the run's folder, which the first one
    writes; weights are those of one process up to the rounding of sums, and a run is resumed with
    any number of processes.
    """

    out: str | Path | None = None
    resume: bool = False
    budget: float | str | None = None
    patience: int | None = None
    log_every: int = 100
    checkpoint_every: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        self.folder = None if self.out is None else RunFolder(check_path("out", self.out))
        self.limits = Budget.of(self.budget)
        check_count("log_every", self.log_every)
        for name in ("patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))

    @_renamed(course="plan", begun="on_start")
    def train(
        self, plan: TrainingPlan, on_start: Callable[[Path], object] | None = None
    ) -> list[Record]:
        """Train stage after stage.

        Parameters
        ----------
        plan : TrainingPlan
            What to train.
        on_start : callable, optional
            Called with the run's folder, where there is one, before the first step: it writes
            what else belongs there.

        Returns
        -------
        list of Record
            Of the stages that the model keeps; `plan.weights(len(...))` are its weights.

        Raises
        ------
        OSError, ValueError
            The folder holds something else, or another run.
        TrainingDiverged
            Losses, weights or samples were not finite.
        """
        records, carried = self._resumed(plan)
        if self.folder is not None and on_start is not None and is_first():
            on_start(self.folder.path)
        with self._log(plan, records) as log, advising(TRAINING):
            _Run(self, plan, records, carried, log).train()
        kept = records[: best(records, self.patience)]
        if self.folder is not None:
            self.folder.write_weights(plan.weights(len(kept)))
        return kept

    def has_settled(self, records: list[Record]) -> bool:
        """Whether training stops early: the distance has not fallen for `patience` stages."""
        return stops_early(records, self.patience)

    def _resumed(self, plan: TrainingPlan) -> tuple[list[Record], Tensors]:
        """The records of the stages in the folder, and the training state for a warm start."""
        if self.folder is None:
            return [], {}
        self.folder.check(plan.settings, resume=self.resume)
        records = self.folder.records()
        if len(records) > plan.n_stages:
            raise ValueError(
                f"{self.folder.path} holds {len(records)} finished stages, more than the "
                f"{plan.n_stages} asked for"
            )
        carried: Tensors = {}
        if records:
            last = records[-1].stage
            networks = [self.folder.network(record.stage) for record in records]
            try:
                plan.restore(networks, self.folder.state(last))
            except KeyError as error:
                raise ValueError(
                    f"{self.folder.path}: the state after stage {last} lacks {error}"
                ) from None
            carried = self.folder.training(last) if _warm_start(plan) else {}
        agree({"finished stages in the run's folder": len(records)})
        self.folder.start(plan.settings)
        return records, carried

    def _log(self, plan: TrainingPlan, records: list[Record]) -> AbstractContextManager[Log | None]:
        if self.folder is None or not is_first():
            return nullcontext()
        unfinished = self.folder.inside(len(records))
        finished = records[-1].step if records else 0
        step = finished if unfinished is None else unfinished[0].step
        return closing(Log(self.folder.path, plan.columns, step, len(records)))


def _warm_start(plan: TrainingPlan) -> bool:
    if hasattr(plan, "carries_on"):
        reason = "carries_on of a training plan is now called warm_start"
        warnings.warn(reason, DeprecationWarning, stacklevel=4)
        return bool(plan.carries_on)
    return plan.warm_start


@dataclass
class _Run:
    """One call of `Trainer.train`, once everything is in its place."""

    trainer: Trainer
    plan: TrainingPlan
    records: list[Record]
    carried: Tensors  # the training state for a warm start
    log: Log | None

    def __post_init__(self) -> None:
        self.step = self.records[-1].step if self.records else 0
        self.before = self.records[-1].seconds if self.records else 0.0
        self.started = self.kept = perf_counter()

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.before + perf_counter() - self.started

    def train(self) -> None:
        """Train the stages that are left and fit the budget."""
        n_stages = self.plan.n_stages
        with Progress(n_stages, "training", self.trainer.progress) as bar:
            for number in range(len(self.records), n_stages):
                if self.trainer.has_settled(self.records) or not self._affordable():
                    break
                report = partial(bar.update, number)
                self._finish(number, self._train_stage(number, report), report)

    def _affordable(self) -> bool:
        """Whether another stage like the last one fits the budget."""
        start = Record(-1, 0, 0.0, None, {})
        before, last = [start, start, *self.records][-2:]
        return self._allowed(last.seconds - before.seconds, last.step - before.step)

    def _allowed(self, next_seconds: float, next_steps: int) -> bool:
        """Whether that much more fits the budget, by the clock of every process."""
        limits = self.trainer.limits
        fits = limits.allows(self.seconds, self.step, next_seconds, next_steps)
        return fits if limits.seconds == math.inf else not any_process(not fits)[0]

    def _train_stage(self, number: int, report: Report) -> StageTraining:
        """Take the steps of a stage, or those that are left of it."""
        trainer, stage = self.trainer, self.plan.begin(number, report)
        training = StageTraining(stage, trainer)
        if self.carried:
            training.restore(self.carried, 0)
        unfinished = trainer.folder.inside(number) if trainer.folder is not None else None
        if unfinished is not None:
            record, tensors = unfinished
            self.step, self.before = record.step, record.seconds - (self.seconds - self.before)
            training.restore(tensors, record.inside or 0)
        agree({"step that a stage is resumed from": training.step})
        with stage.during, _interrupts.deferred() as interrupted:
            while training.step < stage.n_steps:
                if stage.divisible and not self._allowed(0, 1):
                    break
                training.advance()
                self.step += 1
                if training.step % trainer.log_every == 0 or training.step == stage.n_steps:
                    loss = training.mean_loss()
                    if not math.isfinite(loss):
                        raise TrainingDiverged(number, training.step)
                    self._note(number, loss=loss)
                    report(network=training.step, loss=loss)
                due = training.step < stage.n_steps and self._due(training.step)
                stop, due = any_process(interrupted.is_set(), due)
                if stop or due:
                    self._keep(number, training)
                if stop:
                    raise KeyboardInterrupt
        _check_finite(number, training)
        return training

    def _due(self, step: int) -> bool:
        """Whether a checkpoint inside a stage is due."""
        every = self.trainer.checkpoint_every
        if every is None:
            return perf_counter() - self.kept >= _CHECKPOINT_SECONDS
        return step % every == 0

    def _keep(self, number: int, training: StageTraining) -> None:
        """Write a checkpoint inside a stage, of finite numbers only."""
        _check_finite(number, training)
        if self.trainer.folder is not None:
            record = Record(number, self.step, self.seconds, training.step, {})
            self.trainer.folder.write_inside(record, training.tensors() | training.unlogged())
        self.kept = perf_counter()

    def _finish(self, number: int, training: StageTraining, report: Report) -> None:
        """Hand the network to the plan, and keep the stage."""
        network = training.result()
        if _warm_start(self.plan):
            network = copy.deepcopy(network)
            self.carried = training.tensors()
        numbers = training.stage.numbers | self.plan.finish(number, network)
        if not math.isfinite(numbers.get("distance", 0.0)):
            raise TrainingDiverged(number, training.step)
        record = Record(number, self.step, self.seconds, None, numbers)
        self.records.append(record)
        self._note(number, **numbers)
        report(**numbers)
        if self.trainer.folder is not None:
            if is_first():
                self.plan.draw(self.trainer.folder.picture(number))
            self.trainer.folder.write_stage(
                record, network.state_dict(), self.plan.state(), self.carried
            )
        self.kept = perf_counter()

    def _note(self, stage: int, **numbers: float) -> None:
        if self.log is not None:
            self.log.write(stage=stage, step=self.step, seconds=self.seconds, **numbers)


def _check_finite(number: int, training: StageTraining) -> None:
    if not training.is_finite():
        raise TrainingDiverged(number, training.step)
