"""How a plan is trained: the arguments of a `Trainer`, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._core.checks import check_count, check_path
from .budget import Budget
from .run_folder import RunFolder
from .stage_training import Optimisation

Callback = Callable[[int, int, Mapping[str, float]], object]


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
    callbacks: Callback | Sequence[Callback] = ()
    estimates: bool = False

    def __post_init__(self) -> None:
        self.folder = None if self.out is None else RunFolder(check_path("out", self.out))
        self.limits = Budget.of(self.budget)  # of the whole run
        self.session = Budget.of(self.stop_after, "stop_after")
        check_count("log_every", self.log_every)
        for name in ("patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        self.callback_list = _listed(self.callbacks)


def _listed(callbacks: Any) -> tuple[Callback, ...]:
    """One or several callbacks, as a tuple."""
    several = (callbacks,) if callable(callbacks) else callbacks
    if (
        isinstance(several, str)
        or not isinstance(several, Sequence)
        or not all(map(callable, several))
    ):
        raise TypeError(f"callbacks must be callable, or several in a list, got {callbacks!r}")
    return tuple(several)
