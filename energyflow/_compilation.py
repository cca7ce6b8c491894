"""All kernels for CPUs compiled ahead of the calls that need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from energyflow_backends import use_backend

from ._core.extras import need
from ._dependence.covariance import distance_covariance, sliced_distance_covariance_squared
from ._dependence.independence_test import independence_test
from ._permutation_tests.energy_test import energy_test
from ._sums.distances import energy_gradient, sliced_energy_gradient
from ._sums.kernel_sums import kernel_sum, kernel_sum_gradient
from ._sums.wasserstein import sliced_wasserstein_distance


def compile_kernels() -> Path:
    """Compile all kernels for CPUs, so that no later call on this machine has to.

    Numba compiles a kernel when it is first called, some seconds each, and keeps it in a cache: in
    the folder that the environment variable NUMBA_CACHE_DIR names, else beside the installed
    sources, else in the user's cache. Call this once where an image of a container is built, or
    ahead of tests; `show_backends` says whether it was done.

    Returns
    -------
    Path
        The folder of the cache.

    Raises
    ------
    ModuleNotFoundError
        If Numba is not installed.
    OSError
        If there is no folder that can be written.

    Notes
    -----
    Takes about a minute of CPU time where nothing is compiled yet, and some seconds otherwise. What
    is compiled serves processors of the same kind, and the versions of Python, Numba and this
    library that are installed; otherwise kernels are compiled again.
    """
    need("numba", "compile_kernels()", "numba")
    from energyflow_kernels.cache import mark_filled
    from energyflow_kernels.numba.row_kernels import solve_rows

    function: Any = solve_rows
    folder = function._cache.cache_path
    if folder is None:
        raise OSError(
            "compiled kernels cannot be kept: set NUMBA_CACHE_DIR to a folder that can be written"
        )
    with use_backend("numba"):
        for dtype in (np.float32, np.float64):
            _call_all(dtype)
    mark_filled(Path(folder))
    return Path(folder)


def _call_all(dtype: Any) -> None:
    """Everything that has kernels, for a few points of one dtype."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(n, 2)).astype(dtype) for n in (40, 30))
    weights = np.full(30, 1 / 30, dtype)
    far = np.tile(x, (300, 1)) + dtype(9)  # their extent is found by a kernel
    few: dict[str, Any] = {"n_projections": 4, "rng": 0}
    energy_gradient(x, y)
    for slicing in ("iid", "hadamard"):
        sliced_energy_gradient(x, y, **few, slicing=slicing)
    sliced_energy_gradient(x, y, None, weights, **few)
    sliced_energy_gradient(x, y, **few, exponent=1.5)
    sliced_energy_gradient(far, y, **few)
    kernel_sum(x, y, **few, kernel="riesz")
    kernel_sum_gradient(x, y, kernel="gauss", method="direct")
    sliced_wasserstein_distance(x, y, **few)
    energy_test(x, y, n_resamples=9, rng=0, method="sliced", n_projections=4)
    distance_covariance(x[:30, :1], y[:, :1])
    sliced_distance_covariance_squared(x[:30], y, **few)
    for columns in (1, 2):
        independence_test(x[:30, :columns], y[:, :columns], n_resamples=99, rng=0)
