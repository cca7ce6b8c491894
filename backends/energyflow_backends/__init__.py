"""Floor 2: one backend per array library, and a registry that picks one."""

from ._arrays import Array as Array
from ._arrays import describe as describe
from ._arrays import detached as detached
from ._arrays import dtype_name as dtype_name
from ._arrays import known_values as known_values
from ._arrays import library_of as library_of
from ._arrays import namespace as namespace
from ._arrays import widest_dtypes as widest_dtypes
from ._dispatch import NonFiniteValue as NonFiniteValue
from ._dispatch import differentiable_value as differentiable_value
from ._dispatch import exact_value_and_gradient as exact_value_and_gradient
from ._dispatch import sliced_value_and_gradient as sliced_value_and_gradient
from ._errors import BackendUnavailable as BackendUnavailable
from ._errors import EnergyflowError as EnergyflowError
from ._projector import DenseProjector as DenseProjector
from ._projector import Projector as Projector
from ._registry import BackendStatus as BackendStatus
from ._registry import BackendTable as BackendTable
from ._registry import show_backends as show_backends
from ._registry import use_backend as use_backend
