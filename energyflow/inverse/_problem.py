"""An inverse problem: an operator, and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from energyflow_backends import Array, library_of
from numpy.typing import NDArray

from .._core.checks import check_array, check_finite
from .._core.files import load_array, named, read_json, read_toml, write_json
from .._core.random import as_generator
from .._core.reading import naming
from ._blur import BlurDownsample
from ._noise import Gaussian, Noise, Poisson
from ._operators import Linear, Mask, Operator
from ._radon import Radon

_OPERATORS: dict[str, Callable[..., Operator]] = {
    kind.name: kind for kind in (Linear, Mask, BlurDownsample, Radon)
}
_NOISES: dict[str, Callable[..., Noise]] = {kind.name: kind for kind in (Gaussian, Poisson)}


class Problem:
    r"""Observations q = noisy(A p) of images p: simulate pairs, and lift observations.

    Parameters
    ----------
    operator : Operator
        A.
    noise : Noise
        What is added to A p, or done to it.

    Raises
    ------
    TypeError
        They are of other types.

    Examples
    --------
    >>> from energyflow import inverse
    >>> problem = inverse.BlurDownsample(std=2, size=16, stride=4) + inverse.Gaussian(0.01)
    >>> problem
    blur-downsample + gaussian
    """

    def __init__(self, operator: Operator, noise: Noise) -> None:
        if not isinstance(operator, Operator):
            raise TypeError(f"operator must be an Operator, got {type(operator).__name__}")
        if not isinstance(noise, Noise):
            raise TypeError(f"noise must be a Noise, got {type(noise).__name__}")
        self.operator = operator
        self.noise = noise

    def __repr__(self) -> str:
        return f"{self.operator.name} + {self.noise.name}"

    def simulate(self, images: Array, rng: int | np.random.Generator | None = None) -> Array:
        """Noisy observations of images.

        Parameters
        ----------
        images : NumPy array (n, *image)
            In the units of the operator.
        rng : int, numpy.random.Generator or None
            Where the noise comes from.

        Returns
        -------
        array (n, *observation)
            In the dtype of the images.

        Raises
        ------
        TypeError, ValueError
            Images that are no NumPy array, of another shape, or not finite.
        """
        if library_of(images) != "numpy":
            raise TypeError(f"images must be a NumPy array, got {type(images).__name__}")
        noisy = self.noise.add(self.operator(images), as_generator(rng))
        return self.operator.restricted(noisy)

    def lift(self, observations: Array) -> Array:
        """Observations (n, *observation) on the image grid, see the operator."""
        return self.operator.lift(observations)

    def residuals(self, images: Array, observation: Array) -> NDArray[np.float64]:
        r"""How far images are from one observation, in units of the noise.

        .. math:: \Big( \frac1m \sum_j \frac{(A x - q)_j^2}{\sigma_j(A x)^2} \Big)^{1/2}

        Parameters
        ----------
        images : NumPy array (n, *image)
            Such as samples of the posterior.
        observation : NumPy array (*observation)
            Of all of them.

        Returns
        -------
        array (n,)
            About 1 for images that are consistent with the observation.

        Raises
        ------
        TypeError, ValueError
            Shapes that do not fit, NaN or infinity.
        """
        check_array("observation", observation)
        check_finite("observation", observation)
        clean = np.asarray(self.operator(images), np.float64)
        if clean.shape[1:] != np.shape(observation):
            raise ValueError(
                f"observation must have shape {clean.shape[1:]}, got {np.shape(observation)}"
            )
        away = clean - np.asarray(observation, np.float64)
        scaled = self.operator.restricted(away / self.noise.std(clean))
        seen = self.operator.restricted(np.ones_like(clean[:1])).mean()
        squares = np.mean(scaled.reshape(len(clean), -1) ** 2, axis=1)
        return np.asarray(np.sqrt(squares / seen))

    def settings(self) -> dict[str, dict[str, Any]]:
        """Tables `operator` and `noise`: their kinds and arguments."""
        return {
            "operator": {"kind": self.operator.name, **self.operator.settings()},
            "noise": {"kind": self.noise.name, **self.noise.settings()},
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], origin: str = "problem") -> Problem:
        """The problem that `settings` describes.

        Raises
        ------
        TypeError, ValueError
            Tables, kinds or arguments that are missing or wrong; `origin` is named.
        """
        if not isinstance(settings, Mapping):
            raise TypeError(f"{origin}: expected tables, got {type(settings).__name__}")
        unknown = set(settings) - {"operator", "noise"}
        if unknown:
            raise ValueError(f"{origin}: unknown tables {', '.join(sorted(unknown))}")
        return cls(
            _built(settings, "operator", _OPERATORS, origin),
            _built(settings, "noise", _NOISES, origin),
        )

    @classmethod
    def from_toml(cls, path: str | Path) -> Problem:
        """Read a problem from a file.

        ::

            [operator]
            kind = "blur-downsample"   # or linear, mask, radon
            std = 2.0
            size = 16
            stride = 4

            [noise]
            kind = "gaussian"          # or poisson
            std = 0.01

        The entries are the arguments of the class. `matrix` and `seen` may be the name of a .npy,
        .npz or .csv file, beside the file that names it.

        Raises
        ------
        OSError, ValueError, TypeError
            The file, or one it names, cannot be read, or describes no problem.
        """
        path = Path(path)
        settings = read_toml(path)
        operator = settings.get("operator")
        if isinstance(operator, dict):
            for name in ("matrix", "seen"):
                if isinstance(operator.get(name), str):
                    operator[name] = load_array(path.parent / operator[name]).tolist()
        return cls.from_settings(settings, str(path))

    def save(self, path: str | Path) -> None:
        """Write the settings as JSON.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        write_json(named(path), self.settings())

    @classmethod
    def load(cls, path: str | Path) -> Problem:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError, TypeError
            The file cannot be read, or describes no problem.
        """
        return cls.from_settings(read_json(Path(path)), str(path))


def _built(
    settings: Mapping[str, Any], table: str, kinds: Mapping[str, Callable[..., Any]], origin: str
) -> Any:
    found = settings.get(table)
    if not isinstance(found, Mapping):
        raise ValueError(f"{origin}: expected a table [{table}]")
    arguments = dict(found)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(
            f"{origin}: [{table}] kind must be one of {', '.join(kinds)}, got {kind!r}"
        )
    with naming(f"{origin}: [{table}]"):
        return kinds[kind](**arguments)
