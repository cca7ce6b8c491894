"""What a posterior flow learns with, where the user leaves it open."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from energyflow_backends import Floats

from ..models import FlowGenerator, FlowMatching, Model, UNet
from ._learned.ridge import LARGEST

OF_CROPS = UNet(48, (1, 2), residual_blocks=1, patch=4, attention=False)


def model_of(settings: dict[str, Any]) -> Model[Any]:
    """The model that has these settings."""
    for kind in (FlowMatching, FlowGenerator):
        known = {field.name for field in fields(kind.presets["default"].settings)}
        preset = settings.get("preset", "default")
        others = {"network", "embedding", "preset", "device"}
        if set(settings) <= known | others and preset in kind.presets:
            return kind(**settings)
    return FlowMatching(**settings)  # whose error names those that are unknown


def check_crop(model: Model[Any], guess: str | None, components: float | None) -> None:
    """Whether a model can learn from crops.

    Raises
    ------
    ValueError
        If its network takes images of one size, or it learns more than the lift and all pixels.
    """
    form = model.settings.architecture if isinstance(model, FlowMatching) else None
    if not isinstance(form, UNet) or form.attention:
        raise ValueError(
            "crop needs a FlowMatching with architecture=UNet(attention=False), which takes "
            f"images of any size, got {type(model).__name__} with {form or 'its own'}"
        )
    regresses = guess == "regression"
    if regresses or components is not None:
        name = 'guess="regression"' if regresses else "components"
        raise ValueError(f"crop goes with the lift and all of its pixels: leave out {name}")


def sees_conditions(model: Model[Any]) -> bool:
    """Whether it is a `FlowMatching` whose conditions reach the network as they are."""
    return isinstance(model, FlowMatching) and model.embedding is None


def regresses(guess: str | None, points: Floats, condition: Floats) -> bool:
    """Whether the first guess is a regression."""
    if guess is not None:
        return guess == "regression"
    return points.ndim == 2 and condition[0].size <= LARGEST


def scores(model: Model[Any], points: Floats, condition: Floats) -> bool:
    """Whether networks see normal scores of observations: of vectors, given vectors."""
    vectors = points.ndim == condition.ndim == 2
    return sees_conditions(model) and vectors and 2 * condition.shape[1] <= LARGEST


def sees_guess(model: Model[Any], points: Floats, *, lifts: bool) -> bool:
    """Whether networks see the first guess beside the lift, of images."""
    return lifts and points.ndim == 4 and sees_conditions(model) and not model.given_network
