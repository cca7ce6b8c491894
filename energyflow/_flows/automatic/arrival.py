"""Whether a flow has arrived, whether it still gains, and what to say where it failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._core.flow_result import last_distance, still_falls

_FAR = 1.5  # times the floor
_SOME = 50  # steps from which a run should not have risen, or rest far above
_RECORDS = 5  # that are compared with as many before
_GAIN = 0.02  # of the distance, over as many records


class FlowWarning(UserWarning):
    """A flow ended above its start, or far above the distance that its numbers allow."""


History = Sequence[tuple[int, float, float]]


def is_converged(history: History, floor: float | None = None) -> bool:
    """Whether the distance no longer gains beyond its noise, nor falls to a floor that is far.

    The mean of the last third of the records is compared with that of as many before, whose own
    noise is taken to be that of the last: before, the distance may have fallen.
    """
    distances = [distance for _, distance, _ in history]
    n = max(_RECORDS, len(distances) // 3)
    if len(distances) < 2 * n:
        return False
    before, last = np.array(distances[-2 * n : -n]), np.array(distances[-n:])
    gain = float(np.mean(before) - np.mean(last))
    error = math.sqrt(2 * np.var(last) / (n - 1))
    if gain > max(2 * error, _GAIN * abs(float(np.mean(last)))):
        return False
    far = floor is not None and last_distance(distances) > _FAR * floor
    return not (far and still_falls([step for step, _, _ in history], distances, floor or 0.0))


def complaint(
    history: History, floor: float | None, settings: dict[str, Any], batch_floor: float = 0.0
) -> str | None:
    """What to warn of after a run, in words that help.

    batch_floor: where distances are those to batches of the target, what chance makes of them.

    A run that still falls was cut short, which is the user's choice: its result says so.
    """
    steps = [step for step, _, _ in history]
    distances = [distance for _, distance, _ in history]
    taken = steps[-1] - steps[0]
    if taken < _SOME:
        return None
    start, end = distances[0], last_distance(distances)
    if end > 1.1 * max(start, 2 * (floor or batch_floor)):
        rise = f"the flow ended at the distance {end:.3g}, above its start at {start:.3g}"
        return f"{rise}: {_advice(settings)}"
    if floor is None or end <= _FAR * floor or still_falls(steps, distances, floor):
        return None
    return (
        f"after {steps[-1]} steps the distance is {end:.3g}, and it hardly falls; random "
        f"points of the target's distribution would have {floor:.3g}: {_advice(settings)}"
    )


def _advice(settings: dict[str, Any]) -> str:
    words = []
    noise, n, d = (settings.get(name) for name in ("noise", "n_projections", "d"))
    if noise is not None and n is not None and noise > 0.5:
        words.append(
            f"the noise of {n} slices in {d} dimensions is {noise:.2g} times the squared gradient; "
            "leave out n_projections and slicing, or take about as many slices as dimensions"
        )
    if settings.get("step_size_given"):
        words.append('step_size="auto" takes the noise and the data into account')
    if settings.get("hint"):
        words.append(settings["hint"])
    return "; ".join(words) or "more steps may help, or particles that start apart and nearer"
