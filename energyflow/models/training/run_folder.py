"""The folder of a run: settings, checkpoints that are written atomically, final weights."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energyflow_backends import any_process, is_first
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..._core.checks import warn
from ..._core.files import atomic_write, new_folder, parts, read_json, remove_parts, write_json
from ..._core.locks import LOCK, locked
from .._settings import BEFORE, renamed
from .._weights import Tensors, prefixed

FORMAT = 1
SETTINGS, PLAN, WEIGHTS, CHECKPOINTS, SAMPLES, BOARD = (
    "settings.json", "plan.json", "weights.safetensors", "checkpoints", "samples", "tensorboard",
)  # fmt: skip
_NETWORK, _STATE, _TRAINING, _RECORD = (
    "network.safetensors", "state.safetensors", "training.safetensors", "record.json",
)  # fmt: skip
_NOT_COMPARED = ("n_blocks", "data", "chosen")  # the data are compared by their fingerprint
_OTHERWISE = {  # whole messages for what says nothing to a reader
    "fingerprint": "holds a run on other data or conditions",
    "held_out": "holds a run with other held_out data",
    "network": "holds a run of a network with other layers",
    "network_code": "holds a run of a network whose code was another",
}
_WARNED = ("made_with", "network_code")  # a run is resumed all the same
_ADDED = ("held_out", "network", *_WARNED)  # not compared where an older run lacks them


@dataclass(frozen=True)
class Record:
    """Where a run stood at a checkpoint.

    Attributes
    ----------
    stage, step : int
        The stage, and the steps of all networks.
    seconds : float
        Of the run.
    inside : int or None
        Steps of an unfinished stage, None once it is finished.
    numbers : dict
        Those of the log.
    """

    stage: int
    step: int
    seconds: float
    inside: int | None
    numbers: dict[str, float]


class RunFolder:
    """Reads and writes the parts of a run's folder; of several processes only the first writes.

    A finished stage leaves `checkpoints/<stage>`: its network, a record, and (the last two only)
    the state that the next stage starts from, with the training state for a warm start. Inside a
    stage `checkpoints/<stage>-<step>` holds the training state; it is removed once a later one is
    there.

    Parameters
    ----------
    path : path
        The folder, which need not be there yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no other process trains in it; one that is not there is made.

        Of processes that share a training the first one holds it for all.

        Raises
        ------
        OSError
            Another process holds it, which the message names; or nothing may be written there.
        """
        with ExitStack() as stack:
            failure: OSError | None = None
            if is_first():
                try:
                    stack.enter_context(self._made())
                    stack.enter_context(locked(self.path))
                except OSError as error:
                    failure = error
            if any_process(failure is not None)[0]:
                raise failure or BlockingIOError(
                    errno.EAGAIN, "the first process cannot hold the folder", str(self.path)
                )
            yield

    @contextmanager
    def _made(self) -> Iterator[None]:
        """The folder is there; one that was made and stays empty goes again."""
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "expected a folder", str(self.path))
        new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            if new:
                with suppress(OSError):  # it holds a run
                    self.path.rmdir()

    def check(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Check that the folder is free for a new run, or holds the one that is resumed.

        Raises
        ------
        OSError, ValueError
            Something else is in the folder, or a run that is not resumed or had other settings.
        """
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "expected a folder", str(self.path))
        self._refuse_links()
        if not self.path.exists() or not self._content():
            return
        if not (self.path / SETTINGS).is_file():
            raise ValueError(
                f"{self.path} is not empty and holds no run ({SETTINGS}): choose another folder"
            )
        if not resume:
            raise ValueError(
                f"{self.path} holds a run already: resume continues it, or choose another folder"
            )
        self._compare(settings)

    def start(self, settings: Mapping[str, Any]) -> None:
        """Write the settings, once everything else is checked.

        What a kill has left behind is removed: files half-written, checkpoints that later ones
        replace.
        """
        if not is_first():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path / CHECKPOINTS, self.path / SAMPLES):
            remove_parts(folder)
        for stage in range(len(self.records())):
            self._forget(stage)
        write_json(self.path / SETTINGS, {**settings, "format": FORMAT})

    @contextmanager
    def new(self) -> Iterator[RunFolder]:
        """A run to fill, which takes this one's place once it is complete.

        A folder that is there, empty, is filled as it stands.
        """
        if self.path.exists():
            yield self
            return
        with new_folder(self.path) as part:
            yield RunFolder(part)

    def settings(self, model: str | None = None) -> dict[str, Any]:
        """The settings of the run.

        Raises
        ------
        OSError, ValueError
            There is no run, it is damaged, or of another format or model.
        """
        file = self.path / SETTINGS
        if not file.is_file():
            found = "no folder" if not self.path.is_dir() else f"a folder without {SETTINGS}"
            reason = f"expected the folder of a trained model, got {found}"
            raise FileNotFoundError(errno.ENOENT, reason, str(self.path))
        settings = read_json(file)
        if (form := settings.pop("format", None)) != FORMAT:
            raise ValueError(f"{file}: expected format {FORMAT}, got {form!r}")
        if model is not None and settings.get("model") != model:
            raise ValueError(f"{file}: expected the model {model!r}, got {settings.get('model')!r}")
        return settings

    def plan(self) -> dict[str, Any] | None:
        """What was planned for a budget; None where there was none."""
        return read_json(self.path / PLAN) if (self.path / PLAN).is_file() else None

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Keep what is planned for a budget."""
        if is_first():
            write_json(self.path / PLAN, plan)

    def shortened(self) -> list[tuple[int, int]]:
        """Stages from which on a budget has left out steps, and the steps that were left there.

        Raises
        ------
        ValueError
            plan.json holds something else.
        """
        pairs = (self.plan() or {}).get("shortened", [])
        if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
            raise ValueError(
                f"{self.path}: shortened in plan.json must be pairs of whole numbers, got {pairs!r}"
            )
        return [(stage, n_steps) for stage, n_steps in pairs]

    def records(self) -> list[Record]:
        """The records of the finished stages, in order.

        Raises
        ------
        OSError, ValueError
            One is missing or damaged; the file is named.
        """
        finished = [f for f in (self.path / CHECKPOINTS).glob("*") if f.name.isdecimal()]
        return [_record(self._stage(stage) / _RECORD) for stage in range(len(finished))]

    def network(self, stage: int) -> Tensors:
        """The network of a finished stage."""
        return read_tensors(self._stage(stage) / _NETWORK)

    def state(self, stage: int) -> Tensors:
        """What the stage after a finished one starts from."""
        return read_tensors(self._stage(stage) / _STATE)

    def training(self, stage: int) -> Tensors:
        """The training state for a warm start of the stage after a finished one."""
        return read_tensors(self._stage(stage) / _TRAINING)

    def inside(self, stage: int) -> tuple[Record, Tensors] | None:
        """The last checkpoint inside an unfinished stage."""
        folders = sorted((self.path / CHECKPOINTS).glob(f"{stage:06d}-*"))
        if not folders:
            return None
        return _record(folders[-1] / _RECORD), read_tensors(folders[-1] / _STATE)

    def write_stage(
        self, record: Record, network: Tensors, state: Tensors, training: Tensors
    ) -> None:
        """Keep a finished stage; `training` is empty where the next has no warm start.

        Final weights that an earlier end has left are those of fewer stages: they are removed.
        """
        if not is_first():
            return
        (self.path / WEIGHTS).unlink(missing_ok=True)
        with new_folder(self._stage(record.stage)) as part:
            write_tensors(part / _NETWORK, network)
            write_tensors(part / _STATE, state)
            if training:
                write_tensors(part / _TRAINING, training)
            write_json(part / _RECORD, vars(record))
        self._forget(record.stage)

    def write_inside(self, record: Record, state: Tensors) -> None:
        """Keep an unfinished stage."""
        if not is_first():
            return
        name = f"{record.stage:06d}-{record.inside:09d}"
        with new_folder(self.path / CHECKPOINTS / name) as part:
            write_tensors(part / _STATE, state)
            write_json(part / _RECORD, vars(record))
        self._forget_inside(record.stage, but=name)

    def picture(self, stage: int) -> Path:
        """Where the samples after a stage are drawn."""
        (self.path / SAMPLES).mkdir(exist_ok=True)
        return self.path / SAMPLES / f"{stage:06d}.png"

    def write_weights(self, weights: Tensors) -> None:
        """Keep the final weights."""
        if is_first():
            write_tensors(self.path / WEIGHTS, weights)

    def weights(self) -> Tensors:
        """The final weights; of a run that has not ended, those of its finished stages.

        Raises
        ------
        OSError, ValueError
            There are none, or they are damaged.
        """
        if (self.path / WEIGHTS).is_file():
            return read_tensors(self.path / WEIGHTS)
        stages = self.records()
        if not stages:
            raise FileNotFoundError(
                errno.ENOENT, f"no {WEIGHTS} and no finished stage", str(self.path)
            )
        weights = self.state(len(stages) - 1)
        for record in stages:
            weights |= prefixed(f"networks.{record.stage}", self.network(record.stage))
        return weights

    def _content(self) -> list[Path]:
        """What is in the folder but for the lock and what killed writers have left."""
        passing = {self.path / LOCK, *parts(self.path)}
        return [path for path in self.path.iterdir() if path not in passing]

    def _stage(self, stage: int) -> Path:
        return self.path / CHECKPOINTS / f"{stage:06d}"

    def _forget(self, stage: int) -> None:
        """Remove what is not needed any more once a stage is finished."""
        self._forget_inside(stage)
        if stage >= 2:
            for name in (_STATE, _TRAINING):
                (self._stage(stage - 2) / name).unlink(missing_ok=True)

    def _forget_inside(self, stage: int, but: str = "") -> None:
        for folder in (self.path / CHECKPOINTS).glob(f"{stage:06d}-*"):
            if folder.name != but:
                shutil.rmtree(folder)

    def _refuse_links(self) -> None:
        """A run stays in its folder: no part of it that is a folder itself may be elsewhere."""
        folders = [self.path / name for name in (CHECKPOINTS, SAMPLES, BOARD)]
        for folder in (*folders, *folders[0].glob("*")):
            if folder.is_symlink():
                raise ValueError(f"{folder} is a link, expected a folder of the run")

    def _compare(self, settings: Mapping[str, Any]) -> None:
        there = BEFORE | renamed(self.settings())
        for name in sorted(settings, key=lambda name: name != "fingerprint"):  # that one first
            if name in _NOT_COMPARED or there.get(name) == settings[name]:
                continue
            if name in _ADDED and name not in there:
                continue
            if name in _WARNED:
                made = f"holds a run made with {there[name]} and resumed with {settings[name]}"
                reason = f"{self.path} {_OTHERWISE.get(name, made)}: its numbers may differ"
                warn(reason)
            elif name in _OTHERWISE:
                raise ValueError(f"{self.path} {_OTHERWISE[name]}")
            else:
                raise ValueError(
                    f"{self.path} holds a run with {name} = {there.get(name)!r}, which is resumed "
                    f"only with the same, got {settings[name]!r}"
                )


def _record(file: Path) -> Record:
    entries = read_json(file)
    try:
        numbers = {name: float(number) for name, number in entries["numbers"].items()}
        stage, step, seconds = (entries[name] for name in ("stage", "step", "seconds"))
        return Record(int(stage), int(step), float(seconds), entries["inside"], numbers)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected the record of a stage: {error}") from None


def write_tensors(path: Path, tensors: Tensors) -> None:
    """Write tensors to one file, whole or not at all (atomic)."""
    hosted = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    with atomic_write(path) as handle:
        handle.write(save(hosted))


def read_tensors(path: Path) -> Tensors:
    """Read what `write_tensors` wrote.

    Raises
    ------
    OSError, ValueError
        The file is missing, or is cut short or damaged; it is named.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        tensors: Tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a whole safetensors file: {error}") from None
    return tensors


def _is_pair(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(type(k) is int for k in entry)
