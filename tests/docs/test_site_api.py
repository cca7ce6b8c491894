"""Every public name stands on the site."""

from __future__ import annotations

import importlib
import zlib
from pathlib import Path

import pytest

MODULES = (
    "", ".distributed", ".kernels", ".losses", ".models", ".inverse", ".datasets", ".metrics",
    ".reference",
)  # fmt: skip


@pytest.mark.site
@pytest.mark.parametrize("module", ["energyflow" + name for name in MODULES])
def test_public_names_are_on_the_site(site: Path, module: str) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    shown = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    names = importlib.import_module(module).__all__
    assert not {f"{module}.{name}" for name in names} - shown
