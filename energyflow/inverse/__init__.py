"""Inverse problems: operators, noise, and samples of the posterior.

>>> import numpy as np
>>> from energyflow import inverse
>>> problem = inverse.Linear([1.0, 0.5]) + inverse.Gaussian(0.1)
>>> problem.simulate(np.ones((3, 2)), rng=0).shape
(3, 2)

`PosteriorFlow`, which learns to sample, needs torch and safetensors; `Radon` scikit-image;
pictures matplotlib.
"""

from typing import TYPE_CHECKING, Any

from ._base import Operator as Operator
from ._base import Problem as Problem
from ._blur import BlurDownsample as BlurDownsample
from ._components import Components as Components
from ._linear import Linear as Linear
from ._linear import Mask as Mask
from ._noise import Gaussian as Gaussian
from ._noise import Noise as Noise
from ._noise import Poisson as Poisson
from ._posterior import Posterior as Posterior
from ._radon import Radon as Radon
from ._regression import Regression as Regression

if TYPE_CHECKING:
    from ._posterior_flow import PosteriorFlow as PosteriorFlow

__all__ = [
    "BlurDownsample",
    "Components",
    "Gaussian",
    "Linear",
    "Mask",
    "Noise",
    "Operator",
    "Poisson",
    "Posterior",
    "PosteriorFlow",
    "Problem",
    "Radon",
    "Regression",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name == "PosteriorFlow":
        from ._posterior_flow import PosteriorFlow

        return PosteriorFlow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
