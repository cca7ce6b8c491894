"""Named settings: those of the paper, and those tried here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._networks import MLP, UNet
from .._settings import Preset
from .settings import FlowSettings, Pyramid

_PAPER = FlowSettings(
    n_particles=20_000, n_projections=1000, slicing="iid", step_size=1.0, step_decay=1.0,
    carry_velocity=True, first_exponent=5, block_cap=2048, particles="network",
    n_steps=2000, batch_size=100, learning_rate_decay="constant", architecture=UNet(),
)  # fmt: skip


def _paper(**changes: Any) -> FlowSettings:
    return replace(_PAPER, **changes)


_NOT_RUN = "settings of Hertrich et al. (ICLR 2024); not yet run on its data here"

PRESETS: dict[str, Preset] = {
    "default": Preset(FlowSettings(), True, "for two CPU cores"),
    "digits": Preset(FlowSettings(), True, "8 x 8 digits on two CPU cores"),
    "toy": Preset(
        FlowSettings(
            n_particles=40_000, n_projections=32, step_size=None, step_decay=1.0, n_blocks=6,
            first_exponent=4, block_cap=16, block_limit=64, batch_size=500, learning_rate=3e-3,
            architecture=MLP(width=64, frequencies=4),
        ),
        True,
        "samples of a distribution in a few dimensions",
    ),
    "mnist": Preset(_paper(n_blocks=55), False, _NOT_RUN),
    "fashion-mnist": Preset(
        _paper(momentum=0.8, n_blocks=67, block_limit=50_000), False, _NOT_RUN
    ),
    "cifar10": Preset(
        _paper(
            n_particles=30_000, n_projections=500, carry_velocity=False, n_steps=5000,
            learning_rate=5e-4, loss="l1",
            pyramid=Pyramid(n_blocks=(15, 20, 20, 31), patch_size=7),
        ),
        False,
        _NOT_RUN + "; how its 86 networks share the resolutions is our guess",
    ),
    "celeba": Preset(
        _paper(
            n_projections=500, carry_velocity=False, block_limit=100_000, n_steps=20_000,
            batch_size=10, learning_rate=5e-4, loss="l1",
            pyramid=Pyramid(
                resolutions=(8, 16, 32, 64), n_blocks=(15, 20, 20, 31),
                step_sizes=(0.3, 0.8, 0.8, 1.0), momentum_growth=0.05, patch_size=7,
            ),
        ),
        False,
        _NOT_RUN + "; its resolutions and how networks share them are our guess",
    ),
}  # fmt: skip
