"""`energyflow info`, versions, backends and the machine; `energyflow compile`, its kernels."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from time import process_time

import energyflow as ef

from .app import app, print_table
from .options import command

PACKAGES = (
    "energyflow-mmd", "scipy", "array-api-compat", "scikit-learn", "matplotlib", "torchdiffeq",
    "diffusers", "POT", "typer", "rich",
)  # fmt: skip  # those of the backends are in their own table
MISSING = "not installed"


@command(app)
def info() -> None:
    """Print versions, backends and the machine."""
    rows = [("python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)]
    print_table("Versions", ("package", "version"), rows)
    if (other := _version("EnergyFlow")) != MISSING:
        print(
            f"EnergyFlow {other} of PyPI is installed too, into the same folder: "
            "pip uninstall EnergyFlow energyflow-mmd, then install energyflow-mmd again"
        )
    print(ef.show_backends())
    print(f"{platform.platform()}, {platform.machine()}, {_usable_cpus()} usable CPUs")


@command(app, "compile")
def compile_kernels() -> None:
    """Compile all kernels for CPUs into Numba's cache: in images of containers, ahead of tests."""
    start = process_time()
    folder = ef.compile_kernels()
    print(f"compiled in {process_time() - start:.0f} s of CPU time; kept in {folder}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return MISSING


def _usable_cpus() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
