"""Models that learn flows, and the trainer that they share. They need torch and safetensors.

>>> from energyflow.models import FlowGenerator            # doctest: +SKIP
>>> model = FlowGenerator(preset="digits").fit(images)     # doctest: +SKIP
>>> new = model.sample(100, rng=0)                         # doctest: +SKIP
"""

import warnings as _warnings
from importlib.util import find_spec as _find_spec

_missing = [name for name in ("torch", "safetensors") if _find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f"energyflow.models needs {' and '.join(_missing)}: install energyflow with the extra "
        "'models', pip install -e '.[models]'",
        name=_missing[0],
    )

from .._core.image_grid import save_grid  # noqa: E402
from ._base import Model  # noqa: E402
from ._fitted import SamplingDiverged  # noqa: E402
from ._load import MODELS, load  # noqa: E402
from ._networks import MLP, UNet, count_parameters  # noqa: E402
from ._settings import ModelSettings, Preset  # noqa: E402
from .dmmd.model import DMMD  # noqa: E402
from .dmmd.settings import DMMDSettings  # noqa: E402
from .flow_generator.model import FlowGenerator  # noqa: E402
from .flow_generator.presets import PRESETS  # noqa: E402
from .flow_generator.settings import FlowSettings, Pyramid  # noqa: E402
from .flow_matching.model import FlowMatching  # noqa: E402
from .flow_matching.path import (  # noqa: E402
    PathSample,
    sample_location_and_conditional_flow,
)
from .flow_matching.settings import FlowMatchingSettings  # noqa: E402
from .training.budget import Budget  # noqa: E402
from .training.plan import Stage, TrainingPlan, Validation  # noqa: E402
from .training.report import TrainingReport  # noqa: E402
from .training.run_folder import Record, RunFolder  # noqa: E402
from .training.trainer import Trainer, TrainingDiverged  # noqa: E402

__all__ = [
    "DMMD", "MLP", "MODELS", "PRESETS", "Budget", "DMMDSettings", "FlowGenerator",
    "FlowMatching", "FlowMatchingSettings", "FlowSettings", "Model", "ModelSettings",
    "PathSample", "Preset", "Pyramid", "Record", "RunFolder", "SamplingDiverged", "Stage",
    "Trainer", "TrainingDiverged", "TrainingPlan", "TrainingReport", "UNet", "Validation",
    "count_parameters", "load", "sample_location_and_conditional_flow", "save_grid",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name != "Course":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _warnings.warn("Course is now called TrainingPlan", DeprecationWarning, stacklevel=2)
    return TrainingPlan
