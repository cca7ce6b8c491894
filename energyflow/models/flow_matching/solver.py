"""ODE solvers: torchdiffeq's, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeVar, cast

import torch
from torch import Tensor

from ..._core.checks import check_count
from ..._core.extras import need
from .._fields import check_fields
from .._fitted import SamplingDiverged

SolverName = Literal["euler", "midpoint", "rk4", "dopri5"]
Steps = Annotated[int, partial(check_count, maximum=2**14)]  # a file may not ask for hours
X = TypeVar("X", Tensor, tuple[Tensor, Tensor])


@dataclass(frozen=True)
class OdeSolver:
    """A solver with fixed steps; "dopri5" is adaptive and chooses its own."""

    solver: SolverName
    n_steps: Steps

    def __post_init__(self) -> None:
        check_fields(self)

    def solve(self, field: Callable[[Tensor, X], X], start: X, first: float, last: float) -> X:
        """x(last) for dx/dt = field(t, x) and x(first) = start."""
        need("torchdiffeq", "sampling", "models")
        from torchdiffeq import odeint

        device = (start[0] if isinstance(start, tuple) else start).device
        points = 2 if self.solver == "dopri5" else self.n_steps + 1
        times = torch.linspace(first, last, points, device=device)
        try:
            path = odeint(field, start, times, method=self.solver, rtol=1e-5, atol=1e-5)
        except AssertionError as error:  # how dopri5 says that no step is small enough
            raise SamplingDiverged(f"{self.solver} found no step small enough: {error}") from None
        end = tuple(v[-1] for v in path) if isinstance(path, tuple) else path[-1]
        return cast(X, end)
