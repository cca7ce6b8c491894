"""Early stopping: training ends when the validation distance falls no more; the best is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .run_folder import Record


def best(records: Sequence[Record], patience: int | None) -> int:
    """How many stages to keep: up to the least distance, where that ends the training.

    Distances are unbiased and may be negative.
    """
    distances = [record.numbers.get("distance", math.inf) for record in records]
    if patience is None or not any(map(math.isfinite, distances)):
        return len(records)
    return min(range(len(distances)), key=distances.__getitem__) + 1


def stops_early(records: Sequence[Record], patience: int | None) -> bool:
    """Whether the distance has not fallen for `patience` stages."""
    return patience is not None and len(records) - best(records, patience) >= patience
