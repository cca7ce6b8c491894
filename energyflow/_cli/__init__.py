"""The commands of the command line: each module adds its own to `app`."""

from . import demo, distance, evaluate, flow, info, posterior, sample, train
from .app import app
from .testing import energy_test, monitor

__all__ = [
    "app", "demo", "distance", "energy_test", "evaluate", "flow", "info", "monitor", "posterior",
    "sample", "train",
]  # fmt: skip
