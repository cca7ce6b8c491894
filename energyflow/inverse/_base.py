"""An inverse problem: a forward operator, and noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from energyflow_backends import Array, ArrayLike, Doubles, Floats, library_of, namespace

from .._core.checks import as_floats, check_array, check_finite, shape, warn
from .._core.files import follow_link, load_array, read_json, read_toml, write_json
from .._core.random import Rng, as_generator
from ._kinds import Configured, build
from ._noise import Noise

Shape = tuple[int, ...]
A = TypeVar("A", bound=Array)


class Operator(Configured):
    """A forward operator, from images to clean observations; `operator + noise` is a `Problem`.

    Images are arrays (n, *image): NumPy arrays, or torch tensors if the operator is a product
    with matrices. Observations have the library, device and dtype of the images; lists and whole
    numbers become float64.

    Notes
    -----
    A subclass gives its `name` and ``forward(images)``, the observations (n, *observation); for
    images also ``to_images(observations)``, a first guess (n, *image). Both get checked arrays:
    users call ``operator(images)`` and `lift`. `settings` returns the attributes with the names of
    the parameters; it, `check_image`, `check_observation` and `restricted` can be overridden.
    """

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        for before, now in (("_apply", "forward"), ("_lift", "to_images")):
            if before in vars(cls) and now not in vars(cls):
                warn(f"{cls.__name__}.{before} should be called {now}", DeprecationWarning)
                setattr(cls, now, vars(cls)[before])

    def __call__(self, images: A) -> A:
        """Clean observations (n, *observation) of images (n, *image)."""
        images = self._checked("images", images, self.check_image)
        with np.errstate(over="ignore", invalid="ignore"):
            observed = self.forward(images)
        xp = namespace(observed)
        if not bool(xp.all(xp.isfinite(observed))):
            raise ValueError("images must be small enough for their observations to be finite")
        return cast(A, observed)

    def lift(self, observations: A) -> A:
        """The natural first guess: observations (n, *observation) on the image grid.

        Raises
        ------
        TypeError
            If the operator has none.
        """
        if not self.lifts:
            raise TypeError(f"{self.name} has no lift: its class has no to_images()")
        checked = self._checked("observations", observations, self.check_observation)
        return cast(A, self.to_images(checked))

    @property
    def lifts(self) -> bool:
        """Whether there is a first guess on the image grid."""
        return type(self).to_images is not Operator.to_images

    def __add__(self, noise: Noise) -> Problem:
        return Problem(self, noise)

    def simulate(self, images: A, rng: np.random.Generator) -> A:
        """The observations of a call, with what the operator itself draws at random."""
        return self(images)

    def restricted(self, observations: A) -> A:
        """Observations (n, *observation) with zeros at the places that are never observed."""
        return observations

    def check_image(self, image: Shape) -> str | None:
        """The shape that is wanted, in words, if `image` is no shape of an image; else None."""
        return None

    def check_observation(self, observation: Shape) -> str | None:
        """The same for the shape of an observation."""
        return None

    @abstractmethod
    def forward(self, images: Array) -> Array:
        """Clean observations (n, *observation) of checked images (n, *image)."""

    def to_images(self, observations: Array) -> Array:
        """The first guess (n, *image) for checked observations (n, *observation)."""
        raise NotImplementedError

    def _checked(self, name: str, values: Any, check_shape: Callable[[Shape], str | None]) -> Any:
        """Finite floats (n, ...) of a shape that fits."""
        array = as_floats(name, values)
        check_array(name, array)
        if array.ndim < 2 or 0 in array.shape:
            raise ValueError(f"{name} must have shape (n, ...) and not be empty, got {array.shape}")
        wanted = check_shape(shape(array)[1:])
        if wanted is not None:
            raise ValueError(f"{name} must have {wanted}, got {shape(array)[1:]}")
        check_finite(name, array)
        return array


class Problem:
    r"""Observations q = noisy(A p) of images p: simulates pairs, and lifts observations.

    Parameters
    ----------
    operator : Operator
        A.
    noise : Noise, optional
        What is added to A p, or done to it. None for an operator that is exact, or a `Function`
        that draws its own noise.

    Raises
    ------
    TypeError
        If `operator` is no `Operator`, or `noise` no `Noise`.

    Examples
    --------
    >>> from energyflow import inverse
    >>> problem = inverse.BlurDownsample(std=2, size=16, stride=4) + inverse.Gaussian(0.01)
    >>> problem
    blur-downsample + gaussian
    """

    def __init__(self, operator: Operator, noise: Noise | None = None) -> None:
        if not isinstance(operator, Operator):
            raise TypeError(f"operator must be an Operator, got {type(operator).__name__}")
        if not isinstance(noise, Noise | None):
            raise TypeError(f"noise must be a Noise, got {type(noise).__name__}")
        self.operator = operator
        self.noise = noise

    def __repr__(self) -> str:
        return self.operator.name + ("" if self.noise is None else f" + {self.noise.name}")

    def simulate(self, images: ArrayLike, rng: Rng = None) -> Floats:
        """Noisy observations of images.

        Parameters
        ----------
        images : NumPy array or lists (n, *image)
            In the units of the operator.
        rng : int, generator or None
            Draws the noise.

        Returns
        -------
        array (n, *observation)
            In the dtype of the images.

        Raises
        ------
        TypeError, ValueError
            If `images` are tensors, have another shape, or are not finite.
        """
        given: Any = as_floats("images", images)
        if library_of(given) != "numpy":
            raise TypeError(f"images must be a NumPy array, got {type(images).__name__}")
        generator = as_generator(rng)
        observed: Floats = self.operator.simulate(given, generator)
        if self.noise is not None:
            observed = self.noise.add(observed, generator)
        return self.operator.restricted(observed)

    def lift(self, observations: A) -> A:
        """Observations (n, *observation) on the image grid, see `Operator.lift`."""
        return self.operator.lift(observations)

    def residuals(self, images: ArrayLike, observation: ArrayLike) -> Doubles:
        r"""The distances of images to one observation, in units of the noise.

        .. math:: \Big( \frac1m \sum_j \frac{(A x - q)_j^2}{\sigma_j(A x)^2} \Big)^{1/2}

        Parameters
        ----------
        images : NumPy array or lists (n, *image)
            Such as samples of the posterior.
        observation : NumPy array or list (*observation)
            The one observation that all images are compared with.

        Returns
        -------
        array (n,)
            About 1 for images that are consistent with the observation.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit, numbers are NaN or infinite, or there is no noise.
        """
        if self.noise is None:
            raise ValueError(f"residuals need the noise, and {self} has none of its own")
        given = as_floats("observation", observation)
        check_array("observation", given)
        check_finite("observation", given)
        clean = np.asarray(self.operator(as_floats("images", images)), np.float64)
        if clean.shape[1:] != np.shape(given):
            raise ValueError(
                f"observation must have shape {clean.shape[1:]}, got {np.shape(given)}"
            )
        difference = clean - np.asarray(given, np.float64)
        scaled = self.operator.restricted(difference / self.noise.std(clean))
        observed_share = self.operator.restricted(np.ones_like(clean[:1])).mean()
        squares = np.mean(scaled.reshape(len(clean), -1) ** 2, axis=1)
        return np.asarray(np.sqrt(squares / observed_share))

    def settings(self) -> dict[str, dict[str, Any] | None]:
        """Tables `operator` and `noise`: their kinds and arguments; None without noise."""
        noise = None
        if self.noise is not None:
            noise = {"kind": self.noise.name, **self.noise.settings()}
        return {
            "operator": {"kind": self.operator.name, **self.operator.settings()},
            "noise": noise,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], origin: str = "problem") -> Problem:
        """Build the problem that `settings` describes.

        Raises
        ------
        TypeError, ValueError
            If a table, a kind or an argument is missing or wrong; the message begins with
            `origin`.
        """
        if not isinstance(settings, Mapping):
            raise TypeError(f"{origin}: expected tables, got {type(settings).__name__}")
        unknown = set(settings) - {"operator", "noise"}
        if unknown:
            raise ValueError(f"{origin}: unknown tables {', '.join(sorted(unknown))}")
        operator = build("operator", settings, origin)
        if settings.get("noise", ...) is None:
            return cls(operator)
        return cls(operator, build("noise", settings, origin))

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
        .npz or .csv file, relative to the folder of the problem's file.

        Raises
        ------
        OSError, ValueError, TypeError
            If the file, or one that it names, cannot be read, or describes no problem.
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
            If the file cannot be written.
        """
        write_json(follow_link(path), self.settings())

    @classmethod
    def load(cls, path: str | Path) -> Problem:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError, TypeError
            If the file cannot be read, or describes no problem.
        """
        return cls.from_settings(read_json(Path(path)), str(path))
