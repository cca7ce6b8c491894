"""The command `energyflow`, once it is sure that the package of that name is this library.

EnergyFlow, another distribution, installs a package of the same name, and not this one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec


def main() -> None:
    """Run the command line on the arguments of the process."""
    reason = replaced()
    if reason is not None:
        sys.exit(f"energyflow: {reason}")
    import_module("energyflow.cli").main()


def replaced() -> str | None:
    """Where another package has taken the place of `energyflow`, one line that says so."""
    spec = find_spec("energyflow")
    loader = None if spec is None else spec.loader
    if not isinstance(loader, SourceFileLoader):
        return None
    if "energyflow_backends" in (loader.get_source("energyflow") or ""):
        return None
    return (
        f"{loader.path} belongs to another package, EnergyFlow of PyPI: "
        "pip uninstall EnergyFlow energyflow-mmd, then install energyflow-mmd again"
    )


if __name__ == "__main__":
    main()
