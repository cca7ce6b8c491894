"""One training of a plan: stage after stage, step after step, until it ends or is cut."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from energyflow_backends import EnergyflowError, agree, any_process, is_first, sharding

from ..._core import interrupts as _interrupts
from ..._core.checks import check_answer
from ..._core.progress import Progress
from ..._core.random import keyed_generator, torch_seeded
from .._weights import Tensors
from .allowance import slowest
from .budget import MARGIN, Budget
from .early_stopping import best, have_settled, stops_early
from .log import Log
from .options import TrainerOptions
from .plan import Report, TrainingPlan
from .report import TrainingReport
from .run_folder import Record
from .stage_training import StageTraining

_CHECKPOINT_SECONDS = 300
SETTLED = "the validation loss falls no more"
_NO_TIME = "another stage does not fit the budget"


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


@dataclass
class Run:
    """One call of `Trainer.train`, once everything is in its place."""

    trainer: TrainerOptions
    plan: TrainingPlan
    warm_start: bool  # of the plan, by its present or its former name
    records: list[Record]
    carried: Tensors  # the training state for a warm start
    log: Log | None
    start: float  # by the clock of `perf_counter`
    end: float = 0.0  # seconds of the budget that are kept for what comes after the last step

    def __post_init__(self) -> None:
        self.step = self.records[-1].step if self.records else 0
        self.before = self.records[-1].seconds if self.records else 0.0
        self.session_steps = 0
        self.last = 0.0  # seconds of the last step
        self.partly: Record | None = None  # of a stage that is cut, whose network serves
        self.ended = "it was interrupted"
        self.stopped = False  # by a callback
        self.settled = False  # the only network, by its validation loss
        # Seconds and steps of the last stage, if this call took half of it or more, and the seconds
        # from its last step on.
        self.pace: tuple[float, int, float] | None = None
        kept = [] if self.trainer.folder is None else self.trainer.folder.shortened()
        self.shortened = [pair for pair in kept if self._shorten(*pair)]
        self.validations = [] if self.log is None else list(self.log.validations)
        self.saved = perf_counter()
        self.inside: tuple[int, int] | None = None  # stage and its step of the last checkpoint

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.before + self.session_seconds

    @property
    def session_seconds(self) -> float:
        """Of this call."""
        return perf_counter() - self.start

    @property
    def report(self) -> TrainingReport:
        """Of this call."""
        last = self.validations[-1][0] if self.validations else 0
        losses = tuple(v[1:] for v in self.validations if self.warm_start or v[0] == last)
        return TrainingReport(self.ended, self.step, self.seconds, losses)

    @property
    def kept(self) -> list[Record]:
        """The records of the stages that the model keeps."""
        kept = self.records[: best(self.records, self.trainer.patience)]
        whole = len(kept) == len(self.records)
        return [*kept, self.partly] if whole and self.partly is not None else kept

    def train(self) -> None:
        """Train the stages that are left, until something ends it."""
        n_stages = self.plan.n_stages
        label = f"training {self.plan.settings.get('model', '')}".rstrip()
        with Progress(n_stages, label, self.trainer.progress, "stages") as bar:
            for number in range(len(self.records), n_stages):
                report = partial(_show, bar, number)
                ended = self._ends_before(number)
                if ended is None:
                    training = self._train_stage(number, report)
                    alone = self.warm_start or n_stages == 1
                    self.settled = alone and training.has_settled
                    ended = self._cut(number, training)
                if ended is not None:
                    self.ended = ended
                    return
                begun = self.seconds
                self._finish(number, training, report)
                if self.pace is not None:
                    self.pace = (*self.pace[:2], self.seconds - begun)
        stages = "the only stage is" if n_stages == 1 else f"all {n_stages} stages are"
        fewer = ", in fewer steps than were planned, to keep the budget" if self.shortened else ""
        self.ended = SETTLED if self.settled else f"{stages} trained{fewer}"

    def _ends_before(self, number: int) -> str | None:
        """Why no other stage starts; one like the last must fit the budget."""
        trainer = self.trainer
        if have_settled(self.carried):
            return SETTLED
        if stops_early(self.records, trainer.patience):
            return f"the distance has not fallen for {trainer.patience} stages"
        if self.warm_start and self._unfinished(number) is not None:
            return None  # the model has the network of that stage, whatever is left of the budget
        ended = self._spent()
        if ended is None and self.records and not self._has_time(number):
            return _NO_TIME
        return ended

    def _has_time(self, number: int) -> bool:
        """Whether the budget has time for another stage.

        The stages that a warm start has left are given fewer steps, if all that are planned do not
        fit and one for each does, by the pace of the last one. Else a stage like that must fit.
        """
        limits = self.trainer.limits
        if self.warm_start and limits.seconds < math.inf and self.pace is not None:
            seconds, n_steps, end = self.pace
            n_left = self.plan.n_stages - number
            spent = slowest(self.seconds) + MARGIN * max(self.end, n_left * slowest(end))
            each = MARGIN * slowest(seconds) / n_steps
            fitting = int((limits.seconds - spent) / max(each, 1e-9))
            fewer = self._shorten(number, fitting) if fitting >= n_left else None
            if fewer:
                self._keep_shortened(number, fitting)
            if fewer is not None:
                return True
        start = Record(-1, 0, 0.0, None, {})
        before, last = [start, start, *self.records][-2:]
        return self._allows(limits, last.seconds - before.seconds, last.step - before.step)

    def _shorten(self, number: int, n_steps: int) -> bool | None:
        """What the plan answers, if it can: see `TrainingPlan.shorten`."""
        shorten = getattr(self.plan, "shorten", None)
        return None if shorten is None else shorten(number, n_steps)

    def _keep_shortened(self, number: int, n_steps: int) -> None:
        """Let a run that is resumed have as few steps from that stage on."""
        self.shortened.append((number, n_steps))
        folder = self.trainer.folder
        if folder is not None:
            folder.write_plan({**(folder.plan() or {}), "shortened": self.shortened})

    def _spent(self) -> str | None:
        """The limit that does not allow another step.

        The first one of a run fits any budget, and the first one of a call any `stop_after`: what
        is cut again and again still comes to its end.
        """
        if not self.step:
            return None
        if self.stopped:
            return "a callback stopped it"
        if not self._allows(self.trainer.limits, self.last + self.end, 1):
            return "the budget is spent"
        session = self.trainer.session
        if not self.session_steps:
            return None
        fits = session.allows(self.session_seconds, self.session_steps, 0.0, 1)
        return None if self._for_all(session, fits) else "stop_after is reached"

    def _allows(self, limits: Budget, next_seconds: float, next_steps: int) -> bool:
        """Whether that much more fits the budget of the run."""
        fits = limits.allows(self.seconds, self.step, next_seconds, next_steps)
        return self._for_all(limits, fits)

    def _for_all(self, limits: Budget, fits: bool) -> bool:
        """Whether it fits by the clock of every process; they all count the same steps."""
        return fits if limits.seconds == math.inf else not any_process(not fits)[0]

    def _train_stage(self, number: int, report: Report) -> StageTraining:
        """Take the steps of a stage, or those that are left of it, or fit."""
        trainer, seed = self.trainer, self._torch_seed(number)
        with torch_seeded(seed):
            stage = self.plan.begin(number, report)
        training = StageTraining(stage, trainer, seed)
        if self.carried:
            training.restore(self.carried, 0)
        unfinished = self._unfinished(number)
        if unfinished is not None:
            record, tensors = unfinished
            self.step, self.before = record.step, record.seconds
            training.restore(tensors, record.inside or 0)
            self.inside = number, training.step
        agree({"step that a stage is resumed from": training.step})
        begun = self.seconds, self.step
        if training.starts:
            self._measure(number, training, report)
        with stage.during, _interrupts.deferred() as interrupted:
            while not training.is_over and self._spent() is None:
                before = perf_counter()
                training.advance()
                self.step += 1
                self.session_steps += 1
                self.last = perf_counter() - before
                if self.session_steps == 1 and training.step < stage.n_steps:  # it loads, compiles
                    begun = self.seconds, self.step
                report(done=training.step / stage.n_steps)
                self._measure(number, training, report)
                due = not training.is_over and self._due(training.step)
                stop, due = any_process(interrupted.is_set(), due)
                if stop:
                    break
                if due:
                    self._save(number, training)
        if any_process(interrupted.is_set())[0]:  # in the last step, or after it
            self._leave(number, training)
            raise KeyboardInterrupt
        _check_finite(number, training)
        n_steps = self.step - begun[1]
        whole = 2 * n_steps >= max(stage.n_steps, 1)
        self.pace = (self.seconds - begun[0], n_steps, 0.0) if whole else None
        return training

    def _torch_seed(self, number: int) -> int:
        """The seed of torch's global generators in a stage, one for each process."""
        here, seed = sharding(), self.plan.settings.get("seed") or 0
        place = number, 0 if here is None else here.rank
        return int(keyed_generator(seed, "torch", *place).integers(2**62))

    def _unfinished(self, number: int) -> tuple[Record, Tensors] | None:
        """The checkpoint inside a stage."""
        folder = self.trainer.folder
        return None if folder is None else folder.inside(number)

    def _measure(self, number: int, training: StageTraining, report: Report) -> None:
        """Log the losses where they are due."""
        stage, numbers = training.stage, dict[str, float]()
        if stage.validation is not None and training.validates:
            numbers["validation"] = training.validate(stage.validation)
        last, every = training.step == stage.n_steps, self.trainer.log_every
        if not numbers and not last and training.step % every:
            return
        loss = training.mean_loss()
        if not math.isfinite(loss):
            raise TrainingDiverged(number, training.step)
        self._note(number, loss=loss, **numbers)
        rate = self.session_steps / max(self.session_seconds, 1e-9)
        report(training.step / stage.n_steps, loss=loss, **numbers, **{"steps/s": rate})
        if numbers:
            self.validations.append((number, self.step, numbers["validation"]))

    def _cut(self, number: int, training: StageTraining) -> str | None:
        """Why a stage has ended before its last step; its state is kept then, to be resumed."""
        if training.is_over:
            return None
        ended = self._spent()
        self._leave(number, training)
        return ended

    def _leave(self, number: int, training: StageTraining) -> None:
        """Keep a stage that is cut, and let the model have its network, if it serves."""
        if not training.step:
            return
        self._save(number, training)
        if self.plan.take(number, training.result()):
            self.partly = Record(number, self.step, self.seconds, training.step, {})

    def _due(self, step: int) -> bool:
        """Whether a checkpoint inside a stage is due."""
        every = self.trainer.checkpoint_every
        if every is None:
            return perf_counter() - self.saved >= _CHECKPOINT_SECONDS
        return step % every == 0

    def _save(self, number: int, training: StageTraining) -> None:
        """Write a checkpoint inside a stage, of finite numbers only, unless it is there."""
        _check_finite(number, training)
        here = number, training.step
        if self.trainer.folder is not None and here != self.inside:
            record = Record(number, self.step, self.seconds, training.step, {})
            self.trainer.folder.write_inside(record, training.tensors() | training.unlogged())
        self.inside, self.saved = here, perf_counter()

    def _finish(self, number: int, training: StageTraining, report: Report) -> None:
        """Hand the network to the plan, and keep the stage."""
        network = training.result()
        if self.warm_start:
            network = copy.deepcopy(network)
            self.carried = training.tensors()
        seed = self._torch_seed(number)
        with torch_seeded(seed):
            numbers = training.stage.numbers | self.plan.finish(number, network)
        if not math.isfinite(numbers.get("distance", 0.0)):
            raise TrainingDiverged(number, training.step)
        record = Record(number, self.step, self.seconds, None, numbers)
        self.records.append(record)
        self._note(number, **numbers)
        report(1.0, **numbers)
        if self.trainer.folder is not None:
            if is_first():
                with torch_seeded(seed):
                    self.plan.draw(self.trainer.folder.picture(number))
            self.trainer.folder.write_stage(
                record, network.state_dict(), self.plan.state(), self.carried
            )
        self.saved = perf_counter()

    def _note(self, stage: int, **numbers: float) -> None:
        if self.log is not None:
            self.log.write(stage=stage, step=self.step, seconds=self.seconds, **numbers)
        callbacks = self.trainer.callback_list
        if callbacks:
            stops = [
                check_answer(callback(stage, self.step, numbers))
                for callback in callbacks
                if is_first()
            ]
            self.stopped = self.stopped or any_process(any(stops))[0]


def _show(bar: Progress, stage: int, done: float = 0.0, doing: str = "", **numbers: float) -> None:
    """Show numbers, how much of a stage is done, and what is done besides steps of networks."""
    bar.update(stage + done, doing, **numbers)


def warm_start(plan: TrainingPlan) -> bool:
    """Whether stages begin with the network of the one before."""
    if hasattr(plan, "carries_on"):
        reason = "carries_on of a training plan is now called warm_start"
        warnings.warn(reason, DeprecationWarning, stacklevel=4)
        return bool(plan.carries_on)
    return plan.warm_start


def _check_finite(number: int, training: StageTraining) -> None:
    if not training.is_finite():
        raise TrainingDiverged(number, training.step)
