"""A posterior with the interface that users of sbi know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from energyflow_backends import library_of

from .._core.checks import as_floats, check_count, check_each
from .._core.random import Rng
from ._posterior_flow import PosteriorFlow


class DirectPosterior:
    """A trained `PosteriorFlow` as sbi's posterior of that name: `sample`, `log_prob`.

    Parameters
    ----------
    flow : PosteriorFlow
        That is trained, or will be before samples are drawn.
    x : array (*observation), optional
        The observation that is taken where no other is given.

    Raises
    ------
    TypeError
        If `flow` is no `PosteriorFlow`.

    Notes
    -----
    What is given as tensors comes back as tensors. An observation may have a first axis of one.
    The bounds of the flow are kept exactly, no sample is rejected; so there is no leakage, and
    densities are normalised.

    References
    ----------
    Tejero-Cantero et al., "sbi: A toolkit for simulation-based inference", JOSS 5(52), 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from energyflow import inverse
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.normal(size=(100, 2))
    >>> flow = inverse.PosteriorFlow(n_steps=10, n_rounds=1)
    >>> _ = flow.fit(theta, theta + rng.normal(size=theta.shape), progress=False)
    >>> posterior = inverse.DirectPosterior(flow, x=np.zeros(2))
    >>> posterior.sample((5,)).shape
    (5, 2)
    """

    def __init__(self, flow: PosteriorFlow, x: Any = None) -> None:
        if not isinstance(flow, PosteriorFlow):
            raise TypeError(f"flow must be a PosteriorFlow, got {type(flow).__name__}")
        self.flow = flow
        self.default_x = x

    def __repr__(self) -> str:
        return f"DirectPosterior({self.flow!r})"

    def set_default_x(self, x: Any) -> Self:
        """Take this observation where no other is given.

        Raises
        ------
        TypeError, ValueError
            If the flow is trained and this is not one observation of its shape.
        """
        if self.flow.model.fitted is not None:
            self._single(x)
        self.default_x = x
        return self

    def sample(self, sample_shape: Sequence[int] = (), x: Any = None, rng: Rng = None) -> Any:
        """Samples of the posterior.

        Parameters
        ----------
        sample_shape : tuple of int
            As ``(1000,)``.
        x : array (*observation) or (1, *observation), optional
            The observation; the default one when not given.
        rng : int, generator or None
            Draws the noise.

        Returns
        -------
        array (*sample_shape, d)

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `PosteriorFlow.sample`; if there is no observation, or are several.
        """
        x = self._x(x)
        batch = self._single(x)
        shape = check_each("sample_shape", sample_shape, check_count)
        samples = self._samples(batch, math.prod(shape), rng)[0]
        return _like(samples.reshape(*shape, *samples.shape[1:]), x)

    def sample_batched(self, sample_shape: Sequence[int], x: Any, rng: Rng = None) -> Any:
        """Samples for each observation of a batch.

        Parameters
        ----------
        sample_shape : tuple of int
            Of each.
        x : array (m, *observation)
            The observations.
        rng : int, generator or None
            Draws the noise.

        Returns
        -------
        array (*sample_shape, m, d)

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `PosteriorFlow.sample`.
        """
        shape = check_each("sample_shape", sample_shape, check_count)
        samples = np.moveaxis(self._samples(x, math.prod(shape), rng), 0, 1)
        return _like(samples.reshape(*shape, *samples.shape[1:]), x)

    def log_prob(self, theta: Any, x: Any = None) -> Any:
        """Log-density at parameters (n, d) or (d,): an array (n,); -inf outside the bounds.

        Parameters
        ----------
        theta : array (n, d) or (d,)
            Parameters.
        x : array (*observation) or (1, *observation), optional
            The observation; the default one when not given.

        Returns
        -------
        array (n,)

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `PosteriorFlow.log_prob`; if there is no observation, or are several.
        """
        batch = self._single(self._x(x))
        points: Any = as_floats("theta", theta)
        rows = points[None] if getattr(points, "ndim", 0) == 1 else points
        return _like(self.flow.log_prob(rows, batch[0]), theta)

    def log_prob_batched(self, theta: Any, x: Any) -> Any:
        """Log-density of parameters (n, m, d), each given its own of m observations: (n, m).

        Parameters
        ----------
        theta : array (n, m, d)
            Parameters.
        x : array (m, *observation)
            The observations.

        Returns
        -------
        array (n, m)

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `PosteriorFlow.log_prob`.
        """
        points: Any = as_floats("theta", theta)
        if getattr(points, "ndim", 0) != 3:
            raise ValueError(f"theta must have shape (n, m, d), got {getattr(points, 'shape', ())}")
        batch, _ = self.flow._observed().batch(x, "x")
        return _like(self.flow.log_prob(points.swapaxes(0, 1), batch).T, theta)

    def _x(self, x: Any) -> Any:
        """The observation, or the default one."""
        if x is None and self.default_x is None:
            raise ValueError("x must be given, or set by set_default_x")
        return self.default_x if x is None else x

    def _single(self, x: Any) -> Any:
        """One observation, with a first axis."""
        batch, _ = self.flow._observed().batch(x, "x")
        if len(batch) != 1:
            raise ValueError(
                f"x must be one observation, got {len(batch)}: sample_batched and "
                "log_prob_batched take several"
            )
        return batch

    def _samples(self, x: Any, n: int, rng: Rng) -> Any:
        """(m, n, *image)."""
        batch, _ = self.flow._observed().batch(x, "x")
        return self.flow._drawn(batch, n, rng)


def _like(array: Any, given: Any) -> Any:
    """As a tensor on the device of what was given, if that was one."""
    if library_of(given) != "torch":
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(given.device)
