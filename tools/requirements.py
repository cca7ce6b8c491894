"""What pyproject.toml asks for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
ON_GPUS = ("cupy",)  # extras that machines without a GPU do not install


def project() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def required(extras: Iterable[str] = (), groups: Iterable[str] = ()) -> list[Requirement]:
    """Of the core, of extras and of dependency groups, without the project itself."""
    table = project()
    own = table["project"]["name"]
    lines = list(table["project"]["dependencies"])
    for extra in extras:
        lines += table["project"]["optional-dependencies"][extra]
    for group in groups:
        lines += table["dependency-groups"][group]
    parsed = [Requirement(line) for line in lines]
    inner = [extra for r in parsed if r.name == own for extra in r.extras]
    more = required(inner) if inner else []
    return [*(r for r in parsed if r.name != own), *more]


def everything() -> list[Requirement]:
    """All that is ever installed from here: every extra and group, and the build backend."""
    table = project()
    extras = [e for e in table["project"]["optional-dependencies"] if e not in ON_GPUS]
    build = [Requirement(line) for line in table["build-system"]["requires"]]
    return [*required(extras, table["dependency-groups"]), *build]
