"""Docstrings of public names say what a caller must know: arguments, shapes, errors, sources."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from energyflow import reference

MODULES = ("", ".kernels", ".losses", ".models", ".inverse", ".datasets", ".metrics")
# what is no method of a paper: containers, errors, settings, files, plain operations
NO_PAPER = {
    "": {
        "BackendUnavailable", "BatchTest", "ColumnTests", "Coupling", "EffectSize",
        "EnergyTestResult", "EnergyflowError", "FlowDiverged", "FlowResult", "FlowWarning",
        "IndependenceTestResult", "KernelTestResult", "Slicing", "compile_kernels",
        "show_backends", "use_backend",
    },
    ".kernels": {"Kernel", "Linear", "RadialKernel", "SmoothKernel"},
    ".models": {
        "Budget", "DMMDSettings", "FlowMatchingSettings", "FlowSettings", "MLP", "Model",
        "ModelSettings", "PathSample", "Preset", "Pyramid", "Record", "RunFolder",
        "SamplingDiverged", "Stage", "Trainer", "TrainingDiverged", "TrainingPlan",
        "TrainingReport", "UNet", "Validation", "count_parameters", "load", "save_grid",
    },
    ".inverse": {
        "CrossFittedRidge", "Function", "Gaussian", "Linear", "Mask", "Noise", "Operator",
        "Poisson", "Posterior", "Problem", "Radon", "Simulations", "WhitenedPCA", "simulate",
    },
    ".losses": set(),
    ".datasets": {"Dataset", "from_arrays", "load"},
    ".metrics": {
        "Calibration", "ClassifierReport", "EnergyReport", "NeighbourReport", "PredictiveCheck",
        "Report", "Row", "SBC", "TARP", "classifier_report", "energy_distance_report", "evaluate",
        "pair_plot", "posterior_table", "psnr", "train_classifier",
    },
}  # fmt: skip
NEVER_RAISES = {"energyflow.show_backends", "energyflow.models.count_parameters"}
SHAPE = re.compile(r"\((?:\.\.\.|\*?\w+,|\*?[A-Za-z]\w*\)|\))")


def public(module: str) -> dict[str, Any]:
    found = importlib.import_module("energyflow" + module)
    return {
        f"energyflow{module}.{name}": value
        for name in found.__all__
        if callable(value := getattr(found, name))
    }


PUBLIC = {name: value for module in MODULES for name, value in public(module).items()}
METHODS = {
    f"{name}.{key}": value
    for name, kind in PUBLIC.items()
    if inspect.isclass(kind)
    for key, value in vars(kind).items()
    if not key.startswith("_") and inspect.isfunction(value)
}


def sections(documented: Any) -> dict[str, str]:
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """What is said about each argument, its type first."""
    found = {}
    for entry in re.split(r"\n(?=\S)", section):
        first, _, text = entry.partition("\n")
        names, _, kind = first.partition(" : ")
        found |= {name.strip(" *"): f"{kind}\n{text}" for name in names.split(",")}
    return found


def arguments(documented: Callable[..., Any]) -> list[str]:
    names = list(inspect.signature(documented).parameters)
    return [name for name in names if name != "self" and not name.startswith("_")]


def documented_arguments(documented: Any) -> dict[str, str]:
    told = sections(documented)
    return entries(told.get("Parameters", "")) | entries(told.get("Attributes", ""))


def may_raise(documented: Any) -> bool:
    """Whether it is a function, or a class that looks at its arguments."""
    if not inspect.isclass(documented):
        return True
    own = [vars(documented).get(name) for name in ("__init__", "__post_init__")]
    return any(
        re.search(r"\braise\b|\bcheck_", inspect.getsource(method))
        for method in own
        if inspect.isfunction(method) and method.__code__.co_filename.endswith(".py")
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    documented = PUBLIC[name]
    told = sections(documented)
    assert told[""].splitlines()[0].endswith((".", ":")) or told[""].count("\n\n"), told[""]
    if inspect.isclass(documented) and issubclass(documented, BaseException):
        return
    if getattr(documented, "_is_protocol", False):
        return
    described = documented_arguments(documented)
    missing = [argument for argument in arguments(documented) if argument not in described]
    assert not missing, "arguments that are not described"
    shapeless = [
        argument
        for argument, said in described.items()
        if "array" in said.splitlines()[0] and not SHAPE.search(said)
    ]
    assert not shapeless, "arrays without a shape"
    if may_raise(documented) and name not in NEVER_RAISES:
        assert "Raises" in told
    returned = str(inspect.signature(documented).return_annotation)
    if not inspect.isclass(documented) and not re.match("None|Iterator|Generator", returned):
        assert "Returns" in told


@pytest.mark.parametrize("module", MODULES)
def test_methods_of_papers_name_them(module: str) -> None:
    silent = {
        name.rpartition(".")[2]
        for name, documented in public(module).items()
        if "References" not in sections(documented)
    }
    assert silent == NO_PAPER[module]


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_take_arrays_say_their_shapes(name: str) -> None:
    method = METHODS[name]
    kind = PUBLIC[name.rpartition(".")[0]]
    if any(method.__name__ in vars(base) for base in kind.__mro__[1:]):
        return  # described where it is first defined
    taken = inspect.get_annotations(method)
    taken.pop("return", None)
    if any(re.search(r"\b(Array|Floats|NDArray)\b", str(kind)) for kind in taken.values()):
        assert SHAPE.search(inspect.getdoc(method) or "")


@pytest.mark.parametrize("name", reference.__all__)
def test_the_reference_says_shapes_and_sources(name: str) -> None:
    told = inspect.getdoc(getattr(reference, name)) or ""
    assert "Reference: " in told
    assert name == "slicing_constant" or SHAPE.search(told)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numba.rows", "energy_rows"), ("numba.sliced", "sliced_energy"),
        ("numba.sliced", "extent"), ("numba.hadamard", "hadamard_rows"),
        ("numba.hadamard", "hadamard_back"), ("numba.riesz_rows", "riesz_rows"),
        ("numba.riesz_sums", "riesz_sums"),
        ("numba.permutations", "permutation_energies"), ("numba.threads", "share"),
        ("triton.rows", "energy_rows"), ("triton.sliced", "sliced_energy"),
        ("triton.hadamard", "hadamard_rows"), ("triton.hadamard", "hadamard_back"),
    ],
)  # fmt: skip
def test_kernels_are_documented_alike(module: str, name: str) -> None:
    library = module.partition(".")[0]
    pytest.importorskip(library, reason=f"{library} is not installed")
    function = getattr(importlib.import_module(f"energyflow_kernels.{module}"), name)
    described = documented_arguments(function)
    assert not [argument for argument in arguments(function) if argument not in described]
