"""The training loop that all models share."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from energyflow_backends import EnergyflowError, agree, any_process, is_first
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..._core import interrupts as _interrupts
from ..._core.checks import check_count, check_path
from ..._core.memory import TRAINING, advising
from ..._core.progress import Progress
from .._tensors import Tensors, load_weights, prefixed, without_prefix
from .budget import Budget
from .distributed_loss import SharedLoss
from .log import Log
from .plan import Course, Report, Stage
from .run_folder import Record, RunFolder

_CHECKPOINT_SECONDS = 300


class TrainingDiverged(EnergyflowError):
    """Losses, weights or samples were not finite: `.stage` and its `.step` say when.

    What a run's folder holds was finite: a checkpoint is looked through before it is written.
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


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Adam, each step in one kernel."""
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)


class Trainer:
    """Trains the networks of a course, keeps a log and checkpoints, and goes on after a kill.

    Parameters
    ----------
    out : path, optional
        The run's folder; nothing is written when not given.
    resume : bool
        Go on with the run that is in the folder, if there is one.
    budget : float, str or None
        Seconds, or text such as ``"10m"`` or ``"5000 steps"``, for the whole run, its earlier
        calls included. A stage that would not fit, were it as long as the one before, is not
        begun; the first one always is.
    ema : float
        Decay of the moving average of the weights, 0 for none; the average is what is kept. In
        the first steps the decay is less, at most (1 + k) / (10 + k) after k, so that the average
        forgets where training began.
    clip : float, optional
        Largest norm of the gradient of all weights.
    mixed_precision : bool
        bfloat16 where it is safe, on CUDA devices.
    optimizer : callable
        Makes the optimiser of a stage from parameters and a learning rate.
    patience : int, optional
        Stop when the course's distance has not fallen for so many stages, and keep the best.
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
    A run that was interrupted and goes on gives the weights of one that was not, to the last bit,
    on the same machine with the same number of threads, unless a budget of seconds ended it.

    An interrupt (Ctrl-C) among the steps of a stage ends the step first, and keeps a checkpoint.

    Inside `energyflow.distributed.sharded` each process takes its part of the terms of a step's
    loss, and of the slices of flows and distances. All read the run's folder, which the first one
    writes; weights are those of one process up to the rounding of sums, and a run goes on with any
    number of processes.
    """

    def __init__(
        self,
        *,
        out: str | Path | None = None,
        resume: bool = False,
        budget: float | str | None = None,
        ema: float = 0.0,
        clip: float | None = None,
        mixed_precision: bool = True,
        optimizer: Callable[..., torch.optim.Optimizer] = adam,
        patience: int | None = None,
        log_every: int = 100,
        checkpoint_every: int | None = None,
        progress: bool = True,
    ) -> None:
        self.folder = None if out is None else RunFolder(check_path("out", out))
        self.resume = resume
        self.budget = Budget.of(budget)
        self.ema = ema
        self.clip = clip
        self.mixed_precision = mixed_precision
        self.optimizer = optimizer
        self.patience = None if patience is None else check_count("patience", patience)
        self.log_every = check_count("log_every", log_every)
        self.checkpoint_every = checkpoint_every
        if checkpoint_every is not None:
            self.checkpoint_every = check_count("checkpoint_every", checkpoint_every)
        self.progress = progress

    def train(
        self, course: Course, begun: Callable[[Path], object] = lambda folder: None
    ) -> list[Record]:
        """Train stage after stage.

        Parameters
        ----------
        course : Course
            What to train.
        begun : callable
            Called with the run's folder, where there is one, before the first step: it writes
            what else belongs there.

        Returns
        -------
        list of Record
            Of the stages that the model keeps; `course.weights(len(...))` are its weights.

        Raises
        ------
        OSError, ValueError
            The folder holds something else, or another run.
        TrainingDiverged
            Losses, weights or samples were not finite.
        """
        records, carried = self._start(course)
        if self.folder is not None and is_first():
            begun(self.folder.path)
        with self._logging(course, records) as log, advising(TRAINING):
            _Run(self, course, records, carried, log).go()
        kept = records[: self._best(records)]
        if self.folder is not None:
            self.folder.write_weights(course.weights(len(kept)))
        return kept

    def _start(self, course: Course) -> tuple[list[Record], Tensors]:
        """The records of the stages in the folder, and the training that the next goes on with."""
        if self.folder is None:
            return [], {}
        self.folder.check(course.settings, resume=self.resume)
        records = self.folder.records()
        if len(records) > course.n_stages:
            raise ValueError(
                f"{self.folder.path} holds {len(records)} finished stages, more than the "
                f"{course.n_stages} asked for"
            )
        training: Tensors = {}
        if records:
            last = records[-1].stage
            networks = [self.folder.network(record.stage) for record in records]
            try:
                course.restore(networks, self.folder.state(last))
            except KeyError as error:
                raise ValueError(
                    f"{self.folder.path}: the state after stage {last} lacks {error}"
                ) from None
            training = self.folder.training(last) if course.carries_on else {}
        agree({"finished stages in the run's folder": len(records)})
        self.folder.start(course.settings)
        return records, training

    @contextmanager
    def _logging(self, course: Course, records: list[Record]) -> Iterator[Log | None]:
        if self.folder is None or not is_first():
            yield None
            return
        step = records[-1].step if records else 0
        if (unfinished := self.folder.inside(len(records))) is not None:
            step = unfinished[0].step
        log = Log(self.folder.path, course.columns, step, len(records))
        try:
            yield log
        finally:
            log.close()

    def _best(self, records: list[Record]) -> int:
        """How many stages to keep: up to the least distance, where that ends the training.

        Distances are unbiased and may be negative.
        """
        distances = [record.numbers.get("distance", math.inf) for record in records]
        if self.patience is None or not any(map(math.isfinite, distances)):
            return len(records)
        return min(range(len(distances)), key=distances.__getitem__) + 1

    def has_settled(self, records: list[Record]) -> bool:
        """Whether the distance has not fallen for `patience` stages."""
        return self.patience is not None and len(records) - self._best(records) >= self.patience


class _Run:
    """One call of `Trainer.train`, once everything is in its place."""

    def __init__(
        self,
        trainer: Trainer,
        course: Course,
        records: list[Record],
        carried: Tensors,
        log: Log | None,
    ) -> None:
        self.trainer = trainer
        self.course = course
        self.records = records
        self.carried = carried
        self.log = log
        self.step = records[-1].step if records else 0
        self.before = records[-1].seconds if records else 0.0
        self.begun = self.kept = perf_counter()

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.before + perf_counter() - self.begun

    def go(self) -> None:
        """Train the stages that are left and fit the budget."""
        n_stages = self.course.n_stages
        with Progress(n_stages, "training", self.trainer.progress) as bar:
            for number in range(len(self.records), n_stages):
                if self.trainer.has_settled(self.records) or not self._affordable():
                    break
                report = partial(bar.update, number)
                self._finish(number, self._train(number, report), report)

    def _affordable(self) -> bool:
        """Whether another stage like the last one fits the budget."""
        start = Record(-1, 0, 0.0, None, {})
        before, last = [start, start, *self.records][-2:]
        took = last.seconds - before.seconds, last.step - before.step
        return self._allowed(*took)

    def _allowed(self, next_seconds: float, next_steps: int) -> bool:
        """Whether that much more fits the budget, by the clock of every process."""
        fits = self.trainer.budget.allows(self.seconds, self.step, next_seconds, next_steps)
        return fits if self.trainer.budget.seconds == math.inf else not any_process(not fits)[0]

    def _train(self, number: int, report: Report) -> _Training:
        """Take the steps of a stage, or those that are left of it."""
        trainer, folder = self.trainer, self.trainer.folder
        stage = self.course.begin(number, report)
        training = _Training(trainer, stage)
        if self.carried:
            training.restore(self.carried, 0)
        found = folder.inside(number) if folder is not None else None
        if found is not None:
            record, tensors = found
            self.step, self.before = record.step, record.seconds - (self.seconds - self.before)
            training.restore(tensors, record.inside or 0)
        agree({"step that a stage goes on from": training.step})
        with stage.during, _interrupts.deferred() as asked:
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
                stop, due = any_process(asked.is_set(), due)
                if stop or due:
                    self._keep(number, training)
                if stop:
                    raise KeyboardInterrupt
        if not training.is_finite():
            raise TrainingDiverged(number, training.step)
        return training

    def _due(self, step: int) -> bool:
        """Whether a checkpoint inside a stage is due."""
        every = self.trainer.checkpoint_every
        if every is None:
            return perf_counter() - self.kept >= _CHECKPOINT_SECONDS
        return step % every == 0

    def _keep(self, number: int, training: _Training) -> None:
        """Write a checkpoint inside a stage, of finite numbers only."""
        if not training.is_finite():
            raise TrainingDiverged(number, training.step)
        if self.trainer.folder is not None:
            record = Record(number, self.step, self.seconds, training.step, {})
            self.trainer.folder.write_inside(record, training.tensors() | training.unlogged())
        self.kept = perf_counter()

    def _finish(self, number: int, training: _Training, report: Report) -> None:
        """Hand the network to the model, and keep the stage."""
        network = training.result()
        if self.course.carries_on:
            network = copy.deepcopy(network)
            self.carried = training.tensors()
        numbers = training.stage.numbers | self.course.finish(number, network)
        if not math.isfinite(numbers.get("distance", 0.0)):
            raise TrainingDiverged(number, training.step)
        record = Record(number, self.step, self.seconds, None, numbers)
        self.records.append(record)
        self._note(number, **numbers)
        report(**numbers)
        if self.trainer.folder is not None:
            if is_first():
                self.course.draw(self.trainer.folder.picture(number))
            self.trainer.folder.write_stage(
                record, network.state_dict(), self.course.state(), self.carried
            )
        self.kept = perf_counter()

    def _note(self, stage: int, **numbers: float) -> None:
        if self.log is not None:
            self.log.write(stage=stage, step=self.step, seconds=self.seconds, **numbers)


class _Training:
    """A stage with its optimiser and its average."""

    def __init__(self, trainer: Trainer, stage: Stage) -> None:
        self.stage = stage
        self.step = 0
        self.clip = trainer.clip
        self.network = stage.network
        self.network.train()
        self.loss = SharedLoss(stage)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = trainer.optimizer(self.parameters, stage.learning_rate(0))
        self.average: AveragedModel | None = None
        if trainer.ema:
            self.average = _average(self.network, trainer.ema)
        self.device = self.parameters[0].device
        self.mixed = trainer.mixed_precision and self.device.type == "cuda"
        self._losses: list[Tensor] = []

    def advance(self) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            loss = self.loss(self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self._losses.append(self.loss.over_processes(loss.detach()))
        self.step += 1

    def mean_loss(self) -> float:
        """Over the steps since it was last asked for."""
        mean = float(torch.stack(self._losses).float().mean())
        self._losses.clear()
        return mean

    def result(self) -> nn.Module:
        """The network that the stage gives."""
        return self.network if self.average is None else self.average.module

    def tensors(self) -> Tensors:
        """All that changes from step to step."""
        state = self.optimizer.state_dict()["state"]
        flat = {
            f"optimizer.{index}.{name}": value
            for index, numbers in state.items()
            for name, value in numbers.items()
        }
        average = {} if self.average is None else prefixed("average", self.average.state_dict())
        return {**prefixed("network", self.network.state_dict()), **flat, **average}

    def unlogged(self) -> Tensors:
        """The losses since the mean was last asked for."""
        return {"losses": torch.stack(self._losses)} if self._losses else {}

    def is_finite(self) -> bool:
        """Whether all losses and weights are, of the average as well."""
        networks = [self.network] if self.average is None else [self.network, self.average]
        held = [value for network in networks for value in network.state_dict().values()]
        return all(bool(torch.isfinite(value).all()) for value in (*held, *self._losses))

    def restore(self, tensors: Tensors, step: int) -> None:
        """Be as `tensors` and `unlogged` told after `step` steps."""
        self.step = step
        self._losses = list(tensors["losses"].to(self.device)) if "losses" in tensors else []
        load_weights(self.network, without_prefix("network", tensors), "checkpoint")
        if self.average is not None:
            load_weights(self.average, without_prefix("average", tensors), "checkpoint")
        state: dict[int, dict[str, Any]] = {}
        for name, value in without_prefix("optimizer", tensors).items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the network's weights."""

    def update(*lists: Any) -> None:
        count = int(average.n_averaged)
        now = min(decay, (1 + count) / (10 + count))
        get_ema_multi_avg_fn(now)(*lists)  # type: ignore[no-untyped-call]

    average = AveragedModel(network, multi_avg_fn=update)
    return average
