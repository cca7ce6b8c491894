"""Inverse problems: operators, noise, and samples of the posterior.

>>> import numpy as np
>>> from energyflow import inverse
>>> problem = inverse.Linear([1.0, 0.5]) + inverse.Gaussian(0.1)
>>> problem.simulate(np.ones((3, 2)), rng=0).shape
(3, 2)

`PosteriorFlow`, which learns to sample, and `DirectPosterior` need torch and safetensors; `Radon`
needs scikit-image, `simulate` in parallel joblib, pictures matplotlib.
"""

import warnings
from typing import TYPE_CHECKING, Any

from ._base import Operator as Operator
from ._base import Problem as Problem
from ._blur import BlurDownsample as BlurDownsample
from ._function import Function as Function
from ._learned.pca import WhitenedPCA as WhitenedPCA
from ._learned.ridge import CrossFittedRidge as CrossFittedRidge
from ._linear import Linear as Linear
from ._linear import Mask as Mask
from ._noise import Gaussian as Gaussian
from ._noise import Noise as Noise
from ._noise import Poisson as Poisson
from ._posterior import Posterior as Posterior
from ._radon import Radon as Radon
from ._simulate import Simulations as Simulations
from ._simulate import simulate as simulate

if TYPE_CHECKING:
    from ._direct_posterior import DirectPosterior as DirectPosterior
    from ._posterior_flow import PosteriorFlow as PosteriorFlow

__all__ = [
    "BlurDownsample", "CrossFittedRidge", "DirectPosterior", "Function", "Gaussian", "Linear",
    "Mask", "Noise", "Operator", "Poisson", "Posterior", "PosteriorFlow", "Problem", "Radon",
    "Simulations", "WhitenedPCA", "simulate",
]  # fmt: skip

_RENAMED = {"Components": "WhitenedPCA", "Regression": "CrossFittedRidge"}


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use; warn about names of before."""
    if name == "PosteriorFlow":
        from ._posterior_flow import PosteriorFlow

        return PosteriorFlow
    if name == "DirectPosterior":
        from ._direct_posterior import DirectPosterior

        return DirectPosterior
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"inverse.{name} is now inverse.{new}", DeprecationWarning, stacklevel=2)
        return globals()[new]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
