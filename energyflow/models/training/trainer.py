"""The trainer that all models share: arguments, the run's folder, and what a budget allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, TypeVar

from energyflow_backends import agree, any_process, is_first
from energyflow_kernels.compilation import compilation

from ..._core.checks import warn
from ..._core.memory import TRAINING, advising
from ..._core.progress import tell
from ..._core.random import torch_seeded
from .._settings import renamed
from .._weights import Tensors
from .allowance import Allowance, Decisions, in_words, rounded, slowest
from .log import Log, draw_losses, seconds_to_draw_losses
from .options import TrainerOptions
from .plan import Stage, TrainingPlan
from .report import TrainingReport
from .run import Run, TrainingDiverged, warm_start
from .run_folder import Record, RunFolder
from .stage_training import seconds_a_step

P = ParamSpec("P")
R = TypeVar("R")
_MEASURED = 60.0  # seconds that an estimate is worth, of which steps take a small share

__all__ = ["Trainer", "TrainingDiverged"]


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


@dataclass(kw_only=True, eq=False)
class Trainer(TrainerOptions):
    """Trains the networks of a plan, keeps a log and checkpoints, and resumes after a kill.

    Parameters
    ----------
    out : path, optional
        The run's folder; nothing is written when not given.
    resume : bool
        Resume the run that is in the folder, if there is one.
    budget : float, str or None
        Seconds, or text such as ``"10m"`` or ``"5000 steps"``, for a finished model: as many
        stages, steps and samples for validation are planned as fit, by what they are measured to
        cost; where fewer than 16 steps would fit, batches are smaller. The plan is kept in the
        run's folder, and a run that is resumed keeps to it. Seconds are those of the whole run, its
        earlier calls included, without those in which Numba compiles, once on a machine; on a
        machine that has become slower the stages of a warm start that are left get fewer steps,
        and where that does not serve, training is cut.
    stop_after : float, str or None
        Seconds or steps, written as a `budget`, after which this call cuts the training, with a
        checkpoint; it takes one step at least. The particle flow of a `FlowGenerator`'s block
        counts, and is not cut itself. Nothing else changes: once it is resumed and ends, it equals
        one without cuts.
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
    callbacks : callable or sequence of callables
        Each is called as ``callback(stage, step, losses)`` with what a row of the log holds: the
        stage, the step of the whole run, and a dict of numbers, such as "loss" and "validation",
        or those of a stage at its end. Training is cut as by `stop_after` when one returns
        something true. The first process calls them, where several share a training.
    estimates : bool
        Whether a new run without a budget says how long its plan takes, by some steps that are
        measured first and thrown away, where there is a bar.

    Attributes
    ----------
    report : TrainingReport
        Why the last training ended, and what the validation loss did.
    reached : list of Record
        What `train` returns, also after an interrupt.

    Raises
    ------
    TypeError, ValueError
        A budget or `stop_after` that cannot be read, counts that are not positive.

    Notes
    -----
    A run that was cut and resumed, however often, gives the weights of one that was not, to the
    last bit, on the same machine with the same number of threads, unless a budget of seconds had
    no time for all that was planned.

    An interrupt (Ctrl-C) or SIGTERM among the steps of a stage ends the step first, and keeps a
    checkpoint. The folder is locked: an error tells another process which one trains there.

    Inside `energyflow.distributed.sharded` each process takes its part of the terms of a step's
    loss, and of the slices of flows and distances. All read the run's folder, which the first one
    writes; weights are those of one process up to the rounding of sums, and a run is resumed with
    any number of processes.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.report = TrainingReport("training has not started", 0, 0.0)
        self.reached: list[Record] = []

    @_renamed(course="plan", begun="on_start")
    def train(
        self,
        plan: TrainingPlan,
        on_start: Callable[[Path], object] | None = None,
        *,
        start: float | None = None,
    ) -> list[Record]:
        """Train stage after stage.

        Parameters
        ----------
        plan : TrainingPlan
            What to train.
        on_start : callable, optional
            Called with the run's folder, where there is one, before the first step: it writes
            what else belongs there.
        start : float, optional
            When its preparation started, by `time.perf_counter`: `budget` and `stop_after` count
            from then on; from this call when not given.

        Returns
        -------
        list of Record
            Of the stages that the model keeps; `plan.weights(len(...))` are its weights. The last
            one has `inside` where training was cut in a stage and its network serves as it is.

        Raises
        ------
        OSError, ValueError
            The folder holds something else, or another run, or another process trains there.
        TrainingDiverged
            Losses, weights or samples were not finite.
        """
        start = perf_counter() if start is None else start
        with nullcontext() if self.folder is None else self.folder.held():
            warm = warm_start(plan)
            records, carried = self._resumed(plan, warm)
            if self.folder is not None and on_start is not None and is_first():
                on_start(self.folder.path)
            with self._log(plan, records) as log, advising(TRAINING):
                start, end = self._adopt(plan, start, new=self._is_new(records))
                run = Run(self, plan, warm, records, carried, log, start, end)
                try:
                    run.train()
                except KeyboardInterrupt:
                    self._keep(run)
                    raise
                self._keep(run)
        return self.reached

    def _keep(self, run: Run) -> None:
        """What the model has in the end, or when it is interrupted."""
        self.reached, self.report = run.kept, run.report
        if self.folder is not None and self.reached:
            self.folder.write_weights(run.plan.weights(len(self.reached)))
            if is_first():
                draw_losses(self.folder.path)
        self._say(str(self.report))
        if run.settled and self.report.rose_at_once:
            warn(
                "the validation loss rose from the first steps on, and their weights are kept: a "
                "smaller learning rate or more data may help"
            )

    def _resumed(self, plan: TrainingPlan, warm: bool) -> tuple[list[Record], Tensors]:
        """The records of the stages in the folder, and the training state for a warm start."""
        if self.folder is None:
            return [], {}
        self.folder.check(plan.settings, resume=self.resume)
        records = self.folder.records()
        self._check_budget(new=self._is_new(records))
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
            carried = self.folder.training(last) if warm else {}
        agree({"finished stages in the run's folder": len(records)})
        self.folder.start(plan.settings)
        return records, carried

    def _is_new(self, records: list[Record]) -> bool:
        """Whether nothing is trained yet in the folder."""
        return not records and (self.folder is None or self.folder.inside(0) is None)

    def _check_budget(self, *, new: bool) -> None:
        """A run keeps the budget that it was planned for, or has none."""
        if self.folder is None or self.budget is None:
            return
        kept = self.folder.plan()
        if kept is None and not new:
            raise ValueError(
                f"{self.folder.path} holds a run that was started without a budget: leave budget "
                "out; stop_after cuts this call"
            )
        if kept is not None and kept.get("budget") != self.limits.as_json():
            raise ValueError(
                f"{self.folder.path} holds a run with budget = {kept.get('budget')}, which is "
                f"resumed only with the same or without, got {self.budget!r}"
            )

    def _adopt(self, plan: TrainingPlan, start: float, *, new: bool) -> tuple[float, float]:
        """Let the plan keep to the budget, by what was decided in an earlier call or is now.

        Without a budget a new run may say what it will take.

        Returns when the training started, were it not for kernels that were compiled meanwhile, and
        the seconds that it keeps for its end.
        """
        kept = None if self.folder is None else self.folder.plan()
        if kept is not None:
            decisions = _checked(kept, self.folder)
        elif self.budget is not None:
            self._say(f"planning for a budget of {self.budget}")
            with compilation() as compiled, torch_seeded(0):
                decisions = self._decided(plan, lambda: start + compiled())
            start += compiled()
            if self.folder is not None:
                self.folder.write_plan({"budget": self.limits.as_json(), "decisions": decisions})
        else:
            if new and self.estimates and any_process(self.progress)[0]:
                self._estimate(plan)
            return start, 0.0
        if words := in_words(decisions):
            self._say(f"plan: {words}")
        plan.adopt(decisions)
        return start, decisions.get("end_ms", 0) / 1e3

    def _estimate(self, plan: TrainingPlan) -> None:
        """Say how long a plan takes."""
        self._say("measuring how long the plan takes")
        with torch_seeded(0):
            cost = plan.estimate(lambda stage: self._seconds_a_step(stage, _MEASURED))
        total = rounded(cost["seconds"])
        self._say(f"plan: {in_words(cost)}; in all about {total}, without validation")

    def _seconds_a_step(self, stage: Stage, allowed: float) -> float:
        """What a step of a stage takes in the slowest of the processes."""
        return slowest(seconds_a_step(stage, self, allowed))

    def _say(self, text: str) -> None:
        if self.progress:
            tell(text)

    def _decided(self, plan: TrainingPlan, start: Callable[[], float]) -> Decisions:
        """What is planned for the budget."""

        def left() -> float:
            return self.limits.seconds - slowest(perf_counter() - start())

        def seconds(stage: Stage) -> float:
            return self._seconds_a_step(stage, self.limits.seconds)

        writes = self.folder is not None
        allowance = Allowance(self.limits.steps, left, seconds, draws=writes)
        if not allowance.timed:
            return plan.decide(allowance)
        end = slowest(seconds_to_draw_losses()) if writes else 0.0
        decisions = plan.decide(allowance)
        return {**decisions, "end_ms": decisions.get("end_ms", 0) + round(1e3 * end)}

    def _log(self, plan: TrainingPlan, records: list[Record]) -> AbstractContextManager[Log | None]:
        if self.folder is None or not is_first():
            return nullcontext()
        unfinished = self.folder.inside(len(records))
        finished = records[-1].step if records else 0
        step = finished if unfinished is None else unfinished[0].step
        return closing(Log(self.folder.path, plan.columns, step, len(records)))


def _checked(kept: dict[str, object], folder: RunFolder | None) -> Decisions:
    decisions = kept.get("decisions")
    if not isinstance(decisions, dict) or not all(type(v) is int for v in decisions.values()):
        name = None if folder is None else folder.path
        raise ValueError(f"{name}: plan.json must hold decisions, whole numbers by their names")
    return renamed(decisions)
