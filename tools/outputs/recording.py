"""Arrays by the name of the call that made them, and how two recordings differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

import energyflow as ef

FAILURES = (
    ef.EnergyflowError, ArithmeticError, AttributeError, ImportError, LookupError,
    NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class Recording:
    """Arrays by the name of the call that made them."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def call(self, name: str, function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call, keep what comes, and give it back: None where the call raises."""
        try:
            result = function(*args, **how)
        except FAILURES as error:
            self.keep(f"{name} raises", type(error).__name__)
            return None
        self.keep(name, result)
        return result

    def keep(self, name: str, value: Any) -> None:
        """Keep an array, or the arrays in a tuple, a mapping or a dataclass, by position."""
        if value is None or callable(value):
            return
        if isinstance(value, dict):
            for key, part in value.items():
                self.keep(f"{name}[{key}]", part)
        elif is_dataclass(value) and not isinstance(value, type):
            public = [f.name for f in fields(value) if not f.name.startswith("_")]
            parts = [getattr(value, field) for field in public if "seconds" not in field]
            self.keep(name, tuple(p for p in parts if not isinstance(p, (str, dict))))
        elif isinstance(value, (tuple, list)) and not _numbers(value):
            for place, part in enumerate(value):
                self.keep(f"{name}[{place}]", part)
        else:
            if name in self.arrays:
                raise ValueError(f"two outputs are named {name!r}")
            array = host(value)
            if array.dtype == object:
                raise TypeError(f"{name}: no array but {type(value).__name__}")
            self.arrays[name] = array


def _numbers(values: Any) -> bool:
    return all(isinstance(v, (int, float)) for v in values)


def host(value: Any) -> np.ndarray:
    """The array as NumPy has it, whatever its library."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value.compute() if hasattr(value, "compute") else value)


def difference(old: np.ndarray | None, new: np.ndarray | None) -> str:
    """How two arrays differ, in words; an empty text where they are the same bit for bit."""
    if old is None or new is None:
        return "is new" if old is None else "is missing"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"was {old.dtype} {old.shape}, is {new.dtype} {new.shape}"
    if old.tobytes() == new.tobytes():
        return ""
    if old.dtype.kind not in "fiu":
        return f"was {old}, is {new}"
    with np.errstate(all="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
        largest, scale = float(np.nanmax(apart)), float(np.nanmax(np.abs(old))) or 1.0
    count = int(np.sum(~((old == new) | ((old != old) & (new != new)))))
    share = f"{largest:.3g} ({largest / scale:.3g} of the largest)"
    return f"{count} of {old.size} differ, by at most {share}"


def compare(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> list[str]:
    """A line for each output that differs."""
    differences = {name: difference(old.get(name), new.get(name)) for name in {**old, **new}}
    return [f"{name}: {words}" for name, words in differences.items() if words]
