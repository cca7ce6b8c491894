"""The commands of the command line: those of each module join the others in `app`."""

from . import energy_test, evaluate, posterior, train
from .main import app

__all__ = ["app", "energy_test", "evaluate", "posterior", "train"]
