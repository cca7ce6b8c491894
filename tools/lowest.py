"""Print constraints that hold what pyproject.toml asks for to the lowest versions it allows.

python -m tools.lowest cli plot    of the core and these extras
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .requirements import required


def lowest(extras: Iterable[str]) -> list[str]:
    """One line for each requirement."""
    bounds = {}
    for requirement in required(extras):
        lower = [s.version for s in requirement.specifier if s.operator in (">=", "==", "~=")]
        if len(lower) != 1:
            raise SystemExit(f"{requirement} must have one lower bound")
        bounds[requirement.name] = lower[0]
    return [f"{name}=={version}" for name, version in sorted(bounds.items())]


if __name__ == "__main__":
    print("\n".join(lowest(sys.argv[1:])))
