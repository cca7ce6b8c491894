"""The commands of the command line: each module adds its own to `app`."""

from . import demo, distance, energy_test, evaluate, flow, info, posterior, sample, train
from .app import app

__all__ = [
    "app", "demo", "distance", "energy_test", "evaluate", "flow", "info", "posterior", "sample",
    "train",
]  # fmt: skip
