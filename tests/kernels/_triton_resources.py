"""Ahead-of-time compilation of kernels, and what the compiled code takes of a GPU."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


@dataclass
class Resources:
    registers: int  # a thread
    shared: int  # bytes a program
    spilled: int  # bytes of stack a thread, or vector registers on AMD
    barriers: int  # barrier instructions in the code


def signature(kernel: Any, pointers: dict[str, str], constants: dict[str, Any]) -> dict[str, str]:
    """Type of each argument: pointers as given, annotated floats, and 32-bit integers."""
    types = {}
    for parameter in kernel.params:
        if parameter.name in constants:
            types[parameter.name] = "constexpr"
        elif parameter.name.endswith("_ptr"):
            types[parameter.name] = "*" + pointers.get(parameter.name, pointers["default"])
        else:
            types[parameter.name] = parameter.annotation_type or "i32"
    return types


def compiled_resources(
    kernel: Any,
    pointers: dict[str, str],
    constants: dict[str, Any],
    warps: int,
    registers: int | None,
    target: GPUTarget,
) -> Resources:
    types = signature(kernel, pointers, constants)
    aligned = {
        (i,): [["tt.divisibility", 16]] for i, kind in enumerate(types.values()) if kind[0] == "*"
    }
    source = ASTSource(kernel, types, constexprs=constants, attrs=aligned)
    options: dict[str, Any] = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    if registers is not None and target.backend == "cuda":
        options["maxnreg"] = registers
    code = triton.compile(source, target=target, options=options)
    if target.backend == "hip":
        text = code.asm["amdgcn"]
        field = {key: int(value) for key, value in re.findall(r"\.(\w+):\s+(\d+)\s", text)}
        spilled = field["vgpr_spill_count"] + field["private_segment_fixed_size"]
        return Resources(
            field["vgpr_count"], code.metadata.shared, spilled, text.count("s_barrier")
        )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    field = {key: int(value) for key, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    spilled = field["STACK"] + field["LOCAL"]
    return Resources(field["REG"], code.metadata.shared, spilled, code.asm["ptx"].count("bar.sync"))
