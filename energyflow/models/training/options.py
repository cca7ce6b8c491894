"""How a plan is trained: the arguments of a `Trainer`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..._core.checks import check_count, check_path
from .budget import Budget
from .run_folder import RunFolder
from .stage_training import Optimisation


@dataclass(kw_only=True, eq=False)
class TrainerOptions(Optimisation):
    """`Trainer` says what each is."""

    out: str | Path | None = None
    resume: bool = False
    budget: float | str | None = None
    stop_after: float | str | None = None
    patience: int | None = None
    log_every: int = 100
    checkpoint_every: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        self.folder = None if self.out is None else RunFolder(check_path("out", self.out))
        self.limits = Budget.of(self.budget)  # of the whole run
        self.session = Budget.of(self.stop_after, "stop_after")
        check_count("log_every", self.log_every)
        for name in ("patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
