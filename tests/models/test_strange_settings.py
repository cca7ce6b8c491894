"""Settings of models take strange values, or refuse them by name."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import pytest
from test_strange_arguments import STRANGE, refusal

from energyflow.models import (
    MLP,
    Budget,
    DMMDSettings,
    FlowMatchingSettings,
    FlowSettings,
    Pyramid,
    UNet,
)

KINDS = (MLP, UNet, Pyramid, FlowSettings, FlowMatchingSettings, DMMDSettings, Budget)


@pytest.mark.parametrize("kind", KINDS)
def test_strange_settings(kind: type) -> None:
    kind()
    found = []
    for field in fields(kind):
        for name, value in STRANGE.items():
            fault = refusal(partial(kind, **{field.name: value}), field.name)
            if fault:
                found.append(f"{field.name} = {name}: {fault}")
    assert not found, "\n".join(found)
