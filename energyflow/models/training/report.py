"""What a training says at its end: why it ended, and what the validation loss did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_FALLING = 0.02  # of the way from the first loss to the best, in the last tenth of the validations


@dataclass(frozen=True)
class TrainingReport:
    """Why a training ended, and the validation loss on its way; `str` puts it in words.

    Attributes
    ----------
    ended : str
        The reason.
    n_steps : int
        Steps of all networks, earlier calls included.
    seconds : float
        Of the whole run.
    validation : sequence of (int, float)
        The step and the loss of each validation of the last network; of earlier calls as the log
        of the run's folder has them.
    """

    ended: str
    n_steps: int
    seconds: float
    validation: Sequence[tuple[int, float]] = ()

    @property
    def best(self) -> tuple[int, float] | None:
        """The step and the loss of the weights that are kept; None without validation."""
        return min(self.validation, key=lambda pair: pair[1], default=None)

    @property
    def still_falling(self) -> bool:
        """Whether the loss was still falling noticeably when training ended."""
        losses = [loss for _, loss in self.validation]
        if self.best is None or losses[-1] > self.best[1] or len(losses) < 3:
            return False
        before = losses[-1 - max(1, len(losses) // 10)]
        return before - losses[-1] > _FALLING * (losses[0] - losses[-1])

    @property
    def rose_at_once(self) -> bool:
        """Whether no later loss was below that after the first steps."""
        first = self.validation[0] if self.validation else (0, 0.0)
        return len(self.validation) > 2 and self.best == first and first[0] > 0

    def __str__(self) -> str:
        text = f"{self.ended} ({self.n_steps} steps, {self.seconds:.3g} s)"
        if self.best is None:
            return f"{text}; no validation loss"
        (first, start), (step, best), (_, last) = self.validation[0], self.best, self.validation[-1]
        text += f"; validation loss {start:.4g} at step {first}, best {best:.4g} at step {step}"
        if self.still_falling:
            return f"{text}, still falling: more steps may help"
        return text if last == best else f"{text}, {last:.4g} at the end: the best is kept"
