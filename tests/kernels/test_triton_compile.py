"""Every configuration that the launchers can choose compiles, and spills nothing.

Limits: shared memory of one 32-bit key a point in a block (16 KiB at the most, so that it never
limits how many programs a multiprocessor holds) or of one tile of a transform (32 KiB), and 640
barriers in the code of one kernel.
"""

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("triton", reason="triton is not installed")

from energyflow_kernels.triton import hadamard as triton_hadamard
from energyflow_kernels.triton import launch as triton_launch
from energyflow_kernels.triton import long_rows as triton_long
from energyflow_kernels.triton import matrix_products as triton_product
from energyflow_kernels.triton import short_rows as triton_short

_SPEC = importlib.util.spec_from_file_location(
    "_triton_resources", Path(__file__).with_name("_triton_resources.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
resources = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = resources
_SPEC.loader.exec_module(resources)

MAX_SHARED = 16 * 1024
MAX_TILE = 32 * 1024
MAX_BARRIERS = 640
HADAMARD = triton_hadamard.hadamard_rows_kernel, triton_hadamard.hadamard_back_kernel
FLOATS = ("fp32", "fp64")

Configuration = tuple[Any, dict[str, str], dict[str, Any], int, int | None]


def short_configurations() -> Iterator[Configuration]:
    for block, warps in triton_launch.SHORT_WARPS.items():
        for project, unbiased in itertools.product((False, True), repeat=2):
            constants = {"PROJECT": project, "UNBIASED": unbiased, "BLOCK": block}
            constants["LOG_BLOCK"] = block.bit_length() - 1
            pointers = {"default": "fp32", "values_ptr": "fp64"}
            registers = triton_launch.SHORT_REGISTERS
            yield triton_short.short_rows_kernel, pointers, constants, warps, registers


def long_configurations() -> Iterator[Configuration]:
    names = ("IS_X", "WANTED", "WEIGHTED", "UNBIASED")
    for flags in itertools.product((False, True), repeat=4):
        constants = {**dict(zip(names, flags, strict=True)), "BLOCK": triton_launch.LONG_BLOCK}
        for points, weights in itertools.product(FLOATS, repeat=2):
            if weights == "fp32" and not constants["WEIGHTED"]:
                continue
            pointers = {"default": "fp64", "at_ptr": "i64", "weights_ptr": weights}
            pointers |= dict.fromkeys(("own_ptr", "other_ptr", "gradient_ptr"), points)
            limits = triton_launch.LONG_WARPS, triton_launch.LONG_REGISTERS
            yield triton_long.sorted_side_kernel, pointers, constants, *limits


def other_configurations() -> Iterator[Configuration]:
    for kind in FLOATS:
        pointers = {"default": kind, "at_ptr": "i64", "mass_ptr": "fp64"}
        constants = {"BLOCK": triton_launch.PREFIX_BLOCK}
        yield triton_long.prefix_sum_kernel, pointers, constants, triton_launch.LONG_WARPS, None
        for kernel, tiles in (
            (triton_product.project_kernel, {triton_product.TILE}),
            (triton_product.project_back_kernel, {triton_product.TILE, triton_launch.SMALL_DIM}),
        ):
            for tile in tiles:
                constants = {"POINTS": triton_product.POINTS, "TILE": tile}
                yield kernel, {"default": kind}, constants, triton_launch.LONG_WARPS, None


def hadamard_configurations() -> Iterator[Configuration]:
    lengths = [1 << k for k in range(20) if triton_hadamard.takes(1 << k)]
    for length, kind, kernel in itertools.product(lengths, FLOATS, HADAMARD):
        tile = triton_hadamard.tile_for(length, 4 if kind == "fp32" else 8)
        constants = triton_hadamard.tile_constants(length, tile)
        yield kernel, {"default": kind, "place_ptr": "i32"}, constants, tile.warps, tile.registers


def is_quick(configuration: Configuration) -> bool:
    """The heaviest of each kind that compiles in seconds; the others are marked slow."""
    kernel, pointers, constants, *_ = configuration
    if kernel is triton_short.short_rows_kernel:
        return all(constants.values()) and constants["BLOCK"] == 512
    if kernel is triton_long.sorted_side_kernel:
        heavy = {"WANTED": True, "UNBIASED": True, "IS_X": False}
        return heavy.items() <= constants.items() and "fp64" not in (
            pointers["own_ptr"],
            pointers["weights_ptr"] if constants["WEIGHTED"] else "",
        )
    if kernel in HADAMARD:
        tile = triton_hadamard.tile_for(1024, 4)
        if constants != triton_hadamard.tile_constants(1024, tile):
            return False
    return pointers["default"] == "fp32"


def cases() -> list[Any]:
    everything = (
        *short_configurations(),
        *long_configurations(),
        *other_configurations(),
        *hadamard_configurations(),
    )
    found = []
    for name, configuration in itertools.product(resources.TARGETS, everything):
        kernel, pointers, constants, *_ = configuration
        label = "-".join([name, kernel.__name__, *map(str, constants.values()), *pointers.values()])
        marks = () if is_quick(configuration) else (pytest.mark.slow,)
        found.append(pytest.param(name, *configuration, id=label, marks=marks))
    return found


@pytest.mark.parametrize(("name", "kernel", "pointers", "constants", "warps", "registers"), cases())
def test_compiled_kernels_keep_within_their_limits(
    name: str,
    kernel: Any,
    pointers: dict[str, str],
    constants: dict[str, Any],
    warps: int,
    registers: int | None,
) -> None:
    target = resources.TARGETS[name]
    warps = triton_launch.warps_for(target.warp_size, warps)
    used = resources.compiled_resources(kernel, pointers, constants, warps, registers, target)
    assert used.spilled == 0, used
    assert used.shared <= (MAX_TILE if kernel in HADAMARD else MAX_SHARED), used
    assert used.barriers <= MAX_BARRIERS, used
