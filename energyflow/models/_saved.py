"""What the folder of a run holds of a model: its settings, where it comes from, its weights."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Self

import numpy as np
import torch
from torch import nn

from .. import __version__
from .._core.reading import naming
from ._settings import BEFORE, S, renamed
from ._weights import NetworkFactory, Tensors, code_of, layers_of, without_prefix
from .data.arrays import fingerprint
from .data.scaling import Scaling
from .data.training_set import Description, Pair
from .training.run_folder import SETTINGS, RunFolder

_NETWORK = re.compile(r"networks\.([0-9]{1,6})\.")


@dataclass(frozen=True)
class SavedSettings(Generic[S]):
    """What settings.json says of a model.

    in_use : all settings. given : with None for those that were chosen by the data and the device.
    embeds : whether conditions have an embedding of the user's own.
    """

    in_use: S
    given: S
    description: Description
    embeds: bool

    @classmethod
    def read(cls, run: RunFolder, model: str, kind: type[S]) -> Self:
        """Of a run of that model.

        Raises
        ------
        OSError, ValueError
            There is no such run, or its settings are damaged.
        """
        entries = run.settings(model)
        try:
            in_use = kind.from_json(entries)
            chosen: dict[str, Any] = dict.fromkeys(entries.get("chosen", ()))
            given = replace(in_use, **chosen)
            description = Description.from_json(entries)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{run.path}: settings.json is damaged: {error}") from None
        return cls(in_use, given, description, bool(entries.get("given_embedding")))

    def check_modules(
        self, run: RunFolder, network: nn.Module | None, embedding: nn.Module | None
    ) -> None:
        """Whether the modules that are the user's own are given."""
        own = {"network": self.description.given_network, "embedding": self.embeds}
        there = {"network": network, "embedding": embedding}
        for name, needed in own.items():
            if needed and there[name] is None:
                of = "" if name == "network" else "n"
                raise ValueError(
                    f"{run.path}: the model has a{of} {name} of its own; pass it as {name}="
                )


def settings_entries(model: str, description: Description, in_use: S, given: S) -> dict[str, Any]:
    """What `SavedSettings` reads; "chosen" names the settings that were not given."""
    settings, wanted = in_use.as_json(), given.as_json()
    chosen = [name for name in settings if settings[name] is not None and wanted[name] is None]
    return {"model": model, **description.as_json(), **settings, "chosen": chosen}


def origin_entries(
    held_out: Pair | None, network: nn.Module | None, device: torch.device
) -> dict[str, Any]:
    """What else a run that is resumed should have kept, for settings.json.

    held_out : the user's own validation data. network : the user's own modules.
    """
    made_with = {
        "energyflow": __version__, "torch": torch.__version__, "numpy": np.__version__,
        "python": platform.python_version(), "device": device.type,
    }  # fmt: skip
    return {
        "held_out": None if held_out is None else fingerprint(*held_out),
        "network": None if network is None else layers_of(network),
        "network_code": None if network is None else code_of(network),
        "made_with": made_with,
    }


def as_in_run(run: RunFolder, given: S, chosen: S) -> S:
    """Settings that were chosen by the data and the device, as a run that is resumed has them.

    Another version of this library, or another device, would choose otherwise.
    """
    if not (run.path / SETTINGS).is_file():
        return chosen
    there = BEFORE | renamed(run.settings())
    names = [
        field.name
        for field in fields(chosen)
        if field.name in there
        and getattr(given, field.name) is None
        and getattr(chosen, field.name) is not None
    ]
    with naming(run.path / SETTINGS):
        kept = type(chosen).from_json(chosen.as_json() | {name: there[name] for name in names})
    return replace(chosen, **{name: getattr(kept, name) for name in names})


def scaling_of_components(run: RunFolder, shape: tuple[int, ...]) -> Scaling | None:
    """The scaling of a run of components: found anew, axes of equal variances may be others.

    None before its first stage is finished, and for other runs.
    """
    try:
        weights = run.weights()
    except OSError:
        return None
    with naming(run.path):
        return Scaling.from_tensors(weights, shape) if "data.axes" in weights else None


@dataclass(frozen=True)
class Saved:
    """The weights of a model in the folder of a run.

    networks : weights by the stage that trained them, the last one of each that is kept.
    origin : the folder, for messages.
    """

    description: Description
    scaling: Scaling
    weights: Tensors
    networks: Mapping[int, Tensors]
    factory: NetworkFactory
    origin: str

    @classmethod
    def read(cls, run: RunFolder, description: Description, factory: NetworkFactory) -> Self:
        """Of a run of such data.

        Raises
        ------
        OSError, ValueError
            Weights are missing, or do not fit the data.
        """
        weights = run.weights()
        matches = (_NETWORK.match(name) for name in weights)
        stages = sorted({int(match[1]) for match in matches if match is not None})
        if not stages or not {"data.offset", "data.scale"} <= set(weights):
            raise ValueError(f"{run.path}: networks are missing from the weights")
        networks = {k: without_prefix(f"networks.{k}", weights) for k in stages}
        scaling = Scaling.from_tensors(weights, description.shape)
        found = None if scaling.components is None else len(scaling.components.axes)
        if found != description.n_components:
            raise ValueError(
                f"expected {description.n_components} principal axes in the weights, got {found}"
            )
        return cls(description, scaling, weights, networks, factory, str(run.path))
