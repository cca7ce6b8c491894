"""A plain function as a forward operator or as a simulator that draws its own noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from energyflow_backends import Array, library_of, namespace, to_host

from .._core.checks import check_choice
from .._core.files import read_json
from ._base import A, Operator, Problem


class Function(Operator):
    """A function of a batch as an operator: ``Function(f) + Gaussian(0.1)``.

    Parameters
    ----------
    function : callable
        Takes parameters (n, d), gives observations (n, ...) or (n,). One that has a parameter
        `rng` is a simulator with noise of its own, and gets a `numpy.random.Generator` there.
    library : "numpy" or "torch"
        What the function takes, and may give.

    Raises
    ------
    TypeError
        If `function` cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from energyflow import inverse
    >>> problem = inverse.Function(np.sin) + inverse.Gaussian(0.1)
    >>> problem.simulate(np.zeros((4, 2)), rng=0).shape
    (4, 2)
    """

    def __init__(
        self, function: Callable[..., Any], library: Literal["numpy", "torch"] = "numpy"
    ) -> None:
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        self.function = function
        self.library = check_choice("library", library, ("numpy", "torch"))
        self.name = getattr(function, "__name__", type(function).__name__)
        self.draws = takes_rng(function)

    def settings(self) -> dict[str, Any]:
        """Nothing: files hold no code."""
        return {}

    def simulate(self, images: A, rng: np.random.Generator) -> A:
        """Observations of parameters (n, d); those of a function with `rng` are random."""
        if not self.draws:
            return self(images)
        checked = self._checked("parameters", images, self.check_image)
        return cast(A, self._called(checked, rng=rng))

    def forward(self, images: Array) -> Array:
        """Call the function.

        Raises
        ------
        TypeError, ValueError
            If it draws at random, or gives something else than an observation for each.
        """
        if self.draws:
            raise TypeError(f"{self.name} draws at random: call simulate(parameters, rng)")
        return cast(Array, self._called(images))

    def _called(self, images: Any, **how: Any) -> Any:
        given = images
        if self.library == "torch" and library_of(images) == "numpy":
            import torch

            given = torch.from_numpy(np.ascontiguousarray(images))
        try:
            observed = self.function(given, **how)
        except Exception as error:
            error.add_note(
                f"{self.name} was called with a batch of shape {tuple(images.shape)}; one that "
                "takes single parameters goes through inverse.simulate(..., batched=False)"
            )
            raise
        library = library_of(observed)
        if library is None:
            raise TypeError(
                f"{self.name} must give an array (n, ...), got {type(observed).__name__}"
            )
        if library != library_of(images):
            observed = to_host(observed)
        if observed.ndim == 0 or len(observed) != len(images):
            raise ValueError(
                f"{self.name} must take a batch (n, d) and give (n, ...), got "
                f"{tuple(observed.shape)} for {len(images)} parameters; one that takes single "
                "parameters goes through inverse.simulate(..., batched=False)"
            )
        xp = namespace(observed)
        wide = xp.reshape(observed, (-1, 1)) if observed.ndim == 1 else observed
        return xp.astype(wide, images.dtype)


def takes_rng(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter `rng`."""
    try:
        return "rng" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions of C have no signature
        return False


def as_problem(problem: Any) -> Problem | None:
    """A problem of what a user gives for one."""
    if isinstance(problem, Problem | None):
        return problem
    if not isinstance(problem, Operator) and not callable(problem):
        raise TypeError(
            "problem must be a Problem, an Operator or a function of a batch (n, d), or left out "
            f"for pairs, got {type(problem).__name__}"
        )
    return Problem(problem if isinstance(problem, Operator) else Function(problem))


def read_problem(path: Path) -> Problem | None:
    """The problem that a posterior saved; None where that was of pairs or of a function."""
    settings = read_json(path)
    return Problem.from_settings(settings, str(path)) if settings else None
