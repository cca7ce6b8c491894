"""Sliced energy distances, their gradient flows, and the models built on them.

>>> import energyflow as ef
>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 1
>>> round(float(ef.sliced_energy_distance(x, y, rng=0)), 1)
0.9
"""

from energyflow_backends import BackendUnavailable as BackendUnavailable
from energyflow_backends import EnergyflowError as EnergyflowError
from energyflow_backends import show_backends as show_backends
from energyflow_backends import use_backend as use_backend

from . import distributed as distributed
from . import kernels as kernels
from . import reference as reference
from ._compilation import compile_kernels as compile_kernels
from ._core.flow_result import FlowResult as FlowResult
from ._dependence.correlation import distance_correlation as distance_correlation
from ._dependence.correlation import distance_correlation_squared as distance_correlation_squared
from ._dependence.correlation import (
    sliced_distance_correlation_squared as sliced_distance_correlation_squared,
)
from ._dependence.covariance import distance_covariance as distance_covariance
from ._dependence.covariance import distance_covariance_squared as distance_covariance_squared
from ._dependence.covariance import (
    sliced_distance_covariance_squared as sliced_distance_covariance_squared,
)
from ._dependence.independence_test import independence_test as independence_test
from ._dependence.partial import partial_distance_correlation as partial_distance_correlation
from ._dependence.partial import partial_distance_covariance as partial_distance_covariance
from ._dependence.result import IndependenceTestResult as IndependenceTestResult
from ._flows.automatic.arrival import FlowWarning as FlowWarning
from ._flows.conditional_flow import ConditionalFlow as ConditionalFlow
from ._flows.flow_state import FlowDiverged as FlowDiverged
from ._flows.kale import kale as kale
from ._flows.kale_flow import KALEFlow as KALEFlow
from ._flows.mmd_flow import MMDFlow as MMDFlow
from ._flows.particle_flow import ParticleFlow as ParticleFlow
from ._permutation_tests.column_tests import ColumnTests as ColumnTests
from ._permutation_tests.column_tests import column_tests as column_tests
from ._permutation_tests.effect_size import EffectSize as EffectSize
from ._permutation_tests.energy_test import energy_test as energy_test
from ._permutation_tests.kernel_test import KernelTestResult as KernelTestResult
from ._permutation_tests.kernel_test import kernel_test as kernel_test
from ._permutation_tests.monitor import BatchTest as BatchTest
from ._permutation_tests.monitor import EnergyMonitor as EnergyMonitor
from ._permutation_tests.result import EnergyTestResult as EnergyTestResult
from ._slices.constants import slicing_constant as slicing_constant
from ._slices.directions import sample_projections as sample_projections
from ._slices.hadamard import HadamardSlicing as HadamardSlicing
from ._slices.patches import PatchSlicing as PatchSlicing
from ._slices.slicing import Slicing as Slicing
from ._sums.distances import energy_distance as energy_distance
from ._sums.distances import energy_gradient as energy_gradient
from ._sums.distances import sliced_energy_distance as sliced_energy_distance
from ._sums.distances import sliced_energy_gradient as sliced_energy_gradient
from ._sums.distances import sliced_energy_value_and_gradient as sliced_energy_value_and_gradient
from ._sums.kernel_sums import kernel_sum as kernel_sum
from ._sums.kernel_sums import kernel_sum_gradient as kernel_sum_gradient
from ._sums.mmd import mmd_squared as mmd_squared
from ._sums.scores import crps as crps
from ._sums.scores import energy_score as energy_score
from ._sums.wasserstein import max_sliced_wasserstein_distance as max_sliced_wasserstein_distance
from ._sums.wasserstein import sliced_wasserstein_distance as sliced_wasserstein_distance
from ._sums.witness import witness as witness
from ._sums.witness import witness_gradient as witness_gradient
from ._transport.coupling import Coupling as Coupling
from ._transport.coupling import conditional_coupling as conditional_coupling
from ._transport.coupling import conditional_geodesic as conditional_geodesic
from ._transport.distance import (
    conditional_wasserstein_distance as conditional_wasserstein_distance,
)

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailable",
    "BatchTest",
    "ColumnTests",
    "ConditionalFlow",
    "Coupling",
    "EffectSize",
    "EnergyMonitor",
    "EnergyTestResult",
    "EnergyflowError",
    "FlowDiverged",
    "FlowResult",
    "FlowWarning",
    "HadamardSlicing",
    "IndependenceTestResult",
    "KALEFlow",
    "KernelTestResult",
    "MMDFlow",
    "ParticleFlow",
    "PatchSlicing",
    "Slicing",
    "column_tests",
    "compile_kernels",
    "conditional_coupling",
    "conditional_geodesic",
    "conditional_wasserstein_distance",
    "crps",
    "distance_correlation",
    "distance_correlation_squared",
    "distance_covariance",
    "distance_covariance_squared",
    "distributed",
    "energy_distance",
    "energy_gradient",
    "energy_score",
    "energy_test",
    "independence_test",
    "kale",
    "kernel_sum",
    "kernel_sum_gradient",
    "kernel_test",
    "kernels",
    "max_sliced_wasserstein_distance",
    "mmd_squared",
    "partial_distance_correlation",
    "partial_distance_covariance",
    "reference",
    "sample_projections",
    "show_backends",
    "sliced_distance_correlation_squared",
    "sliced_distance_covariance_squared",
    "sliced_energy_distance",
    "sliced_energy_gradient",
    "sliced_energy_value_and_gradient",
    "sliced_wasserstein_distance",
    "slicing_constant",
    "use_backend",
    "witness",
    "witness_gradient",
]
