"""Models that learn flows, and the trainer that they share. They need torch and safetensors.

>>> from energyflow.models import FlowGenerator            # doctest: +SKIP
>>> model = FlowGenerator(preset="digits").fit(images)     # doctest: +SKIP
>>> new = model.sample(100, rng=0)                         # doctest: +SKIP
"""

from importlib.util import find_spec as _find_spec

_missing = [name for name in ("torch", "safetensors") if _find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f"energyflow.models needs {' and '.join(_missing)}: install energyflow with the extra "
        "'models', pip install -e '.[models]'",
        name=_missing[0],
    )

from .._core.image_grid import save_grid as save_grid  # noqa: E402
from ._base import Model as Model  # noqa: E402
from ._load import MODELS as MODELS  # noqa: E402
from ._load import load as load  # noqa: E402
from ._networks import MLP as MLP  # noqa: E402
from ._networks import UNet as UNet  # noqa: E402
from ._networks import count_parameters as count_parameters  # noqa: E402
from ._settings import ModelSettings as ModelSettings  # noqa: E402
from .dmmd.model import DMMD as DMMD  # noqa: E402
from .dmmd.settings import DMMDSettings as DMMDSettings  # noqa: E402
from .flow_generator.model import FlowGenerator as FlowGenerator  # noqa: E402
from .flow_generator.presets import PRESETS as PRESETS  # noqa: E402
from .flow_generator.presets import Preset as Preset  # noqa: E402
from .flow_generator.settings import FlowSettings as FlowSettings  # noqa: E402
from .flow_generator.settings import Pyramid as Pyramid  # noqa: E402
from .flow_matching.model import FlowMatching as FlowMatching  # noqa: E402
from .flow_matching.settings import (  # noqa: E402
    FlowMatchingSettings as FlowMatchingSettings,
)
from .training.budget import Budget as Budget  # noqa: E402
from .training.plan import Course as Course  # noqa: E402
from .training.plan import Stage as Stage  # noqa: E402
from .training.run_folder import Record as Record  # noqa: E402
from .training.run_folder import RunFolder as RunFolder  # noqa: E402
from .training.trainer import Trainer as Trainer  # noqa: E402
from .training.trainer import TrainingDiverged as TrainingDiverged  # noqa: E402

__all__ = [
    "DMMD", "MLP", "MODELS", "PRESETS", "Budget", "Course", "DMMDSettings", "FlowGenerator",
    "FlowMatching", "FlowMatchingSettings", "FlowSettings", "Model", "ModelSettings", "Preset",
    "Pyramid", "Record", "RunFolder", "Stage", "Trainer", "TrainingDiverged", "UNet",
    "count_parameters", "load", "save_grid",
]  # fmt: skip
