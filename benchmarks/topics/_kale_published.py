"""The published iteration of the KALE flow, plainly in torch: what ours is compared with.

Each step computes three kernel matrices in float32, solves the dual for the weights alpha of the
target points by damped Newton steps in float64 with an explicit inverse, from the last solution,
and moves particles along the gradient that autograd finds. Settings are those of the three rings
in Glaser, Arbel, Gretton, "KALE Flow", NeurIPS 2021, and of the code that came with it.
"""

import torch
from torch import Tensor

ITERATIONS = 45_000  # after which the published runs print their last value
STEP_SIZES = {1e-3: 1e-4, 1e4: 1e-3}  # by lambda
_TOLERANCE, _MOST_STEPS = 1e-6, 800
_ENOUGH, _SHORTER = 0.4, 0.8  # of the line search


class PublishedFlow:
    """Particles x (N, 2), target y (M, 2), kernel exp(-|x - y|^2 / width)."""

    def __init__(self, x: Tensor, y: Tensor, width: float, scale: float) -> None:
        self.x, self.y = x.float().clone().requires_grad_(), y.float()
        self.width, self.scale = width, scale
        self.alpha = torch.full((len(y),), 1e-3, dtype=torch.float64)

    def step(self) -> float:
        """KALE of the particles, which then move."""
        with torch.no_grad():
            yy, yx, xx = (
                self._kernel(*v).double()
                for v in ((self.y, self.y), (self.y, self.x), (self.x, self.x))
            )
            self._solve(yy, yx)
            value = -(1 + self.scale) * self._negative_dual(yy, yx, xx)
        near = self._kernel(self.x, self.x.detach()).mean(1).sum()
        far = (self._kernel(self.x, self.y) @ self.alpha.float()).sum()
        ((1 + self.scale) / self.scale * (near - far)).backward()
        with torch.no_grad():
            self.x -= STEP_SIZES[self.scale] * self.x.grad
        self.x.grad.zero_()
        return value

    def _kernel(self, x: Tensor, y: Tensor) -> Tensor:
        return ((x[:, None] - y) ** 2).sum(2).div(-self.width).exp()

    def _objective(self, alpha: Tensor, yy: Tensor, drive: Tensor) -> Tensor:
        squares = (alpha @ yy @ alpha / 2 - alpha @ drive) / self.scale
        return squares + (alpha * torch.log(len(alpha) * alpha)).sum() - alpha.sum()

    def _negative_dual(self, yy: Tensor, yx: Tensor, xx: Tensor) -> float:
        objective = self._objective(self.alpha, yy, yx.mean(1))
        return -1 - float(objective + xx.mean() / (2 * self.scale))

    def _solve(self, yy: Tensor, yx: Tensor) -> None:
        drive = yx.mean(1)
        for _ in range(_MOST_STEPS):
            gradient = torch.log(len(drive) * self.alpha) + (yy @ self.alpha - drive) / self.scale
            inverse = torch.linalg.inv(torch.diag(1 / self.alpha) + yy / self.scale)
            change = -inverse @ gradient
            slope = float(gradient @ change)
            if -slope / 2 < _TOLERANCE:
                return
            here, fraction = self._objective(self.alpha, yy, drive), 1.0
            while True:
                new = self.alpha + fraction * change
                if bool((new > 0).all()):
                    there = self._objective(new, yy, drive)
                    if there <= here + _ENOUGH * fraction * slope:
                        break
                fraction *= _SHORTER
            self.alpha = new
