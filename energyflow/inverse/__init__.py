"""Inverse problems: operators, noise, and samples of the posterior.

>>> import numpy as np
>>> from energyflow import inverse
>>> problem = inverse.Linear([1.0, 0.5]) + inverse.Gaussian(0.1)
>>> problem.simulate(np.ones((3, 2)), rng=0).shape
(3, 2)

`PosteriorFlow`, which learns to sample, needs torch and safetensors; `Radon` needs scikit-image,
`WhitenedPCA` scikit-learn, and pictures matplotlib.
"""

import warnings
from typing import TYPE_CHECKING, Any

from ._base import Operator as Operator
from ._base import Problem as Problem
from ._blur import BlurDownsample as BlurDownsample
from ._learned.pca import WhitenedPCA as WhitenedPCA
from ._learned.ridge import CrossFittedRidge as CrossFittedRidge
from ._linear import Linear as Linear
from ._linear import Mask as Mask
from ._noise import Gaussian as Gaussian
from ._noise import Noise as Noise
from ._noise import Poisson as Poisson
from ._posterior import Posterior as Posterior
from ._radon import Radon as Radon

if TYPE_CHECKING:
    from ._posterior_flow import PosteriorFlow as PosteriorFlow

__all__ = [
    "BlurDownsample", "CrossFittedRidge", "Gaussian", "Linear", "Mask", "Noise", "Operator",
    "Poisson", "Posterior", "PosteriorFlow", "Problem", "Radon", "WhitenedPCA",
]  # fmt: skip

_RENAMED = {"Components": "WhitenedPCA", "Regression": "CrossFittedRidge"}


def __getattr__(name: str) -> Any:
    """Import what needs torch at its first use; warn about names of before."""
    if name == "PosteriorFlow":
        from ._posterior_flow import PosteriorFlow

        return PosteriorFlow
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"inverse.{name} is now inverse.{new}", DeprecationWarning, stacklevel=2)
        return globals()[new]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
