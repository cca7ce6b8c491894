"""What the data and the device decide, where the user leaves it open."""

from __future__ import annotations

import math

import torch

from ._networks import MLP, is_small
from ._settings import ModelSettings
from .data.noise import MOST_MOMENTS
from .data.training_set import Description, TrainingSet
from .training.validation import ENOUGH, N_SAMPLES

_FEWEST_REDUCED = 1000  # images whose principal components say how others look


def is_slow(description: Description, device: torch.device) -> bool:
    """Whether the data are images, learned on a CPU."""
    return device.type == "cpu" and not is_small(description.shape)


def why_not_reduced(data: TrainingSet) -> str | None:
    """Why images are not learned by their principal components; None where they can be."""
    if math.prod(data.description.shape) > MOST_MOMENTS:
        return f"they have more than {MOST_MOMENTS} numbers"
    if len(data.points) < _FEWEST_REDUCED:
        return f"there are fewer than {_FEWEST_REDUCED}"
    return None


def notice_of_pixels(reason: str, model: str, share: float) -> str:
    """What to know of images that a model learns as they are for that reason."""
    return (
        f"images are learned pixel by pixel, for {reason}: samples of {model} keep grains on a "
        f"CPU; set components={share:g}, or take FlowMatching"
    )


def n_validated(
    description: Description, settings: ModelSettings, device: torch.device, *, timed: bool
) -> int:
    """Samples that are validated after each stage, where no number is given.

    It follows sizes and no clock, so that runs can be repeated; a budget of seconds (`timed`)
    measures what fits.
    """
    small = settings.of_components or isinstance(settings.architecture, MLP)
    return N_SAMPLES if timed or small or not is_slow(description, device) else ENOUGH
