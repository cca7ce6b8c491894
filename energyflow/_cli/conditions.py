"""Conditions on the command line: those of data, and those given for samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from energyflow_backends import HostArray

from .._core.files import load_array

if TYPE_CHECKING:
    from ..datasets import Dataset

Conditions: TypeAlias = HostArray | dict[str, HostArray]
Kind = Literal["labels", "continuous", "both"]


def of_data(data: Dataset, kind: Kind, source: str) -> Conditions:
    """The conditions of the training data: an array, or a dict of both."""
    conditions: dict[str, HostArray] = {}
    for name, description, kinds, array in (
        ("labels", "labels", ("labels", "both"), data.train_labels),
        ("condition", "array `condition`", ("continuous", "both"), data.train_condition),
    ):
        if kind in kinds:
            if array is None:
                raise ValueError(f"--condition {kind}: {source} has no {description}")
            conditions[name] = array
    return conditions if kind == "both" else next(iter(conditions.values()))


def parse_conditions(
    texts: Sequence[str] | None, learned: Mapping[str, Any] | None
) -> Conditions | None:
    """The conditions of samples, as the model's settings describe those that it learned."""
    if not texts:
        return None
    if learned is None:
        raise ValueError("--condition must be left out: the model was trained without")
    if learned["kind"] != "several":
        if len(texts) > 1:
            raise ValueError(f"--condition: the model has one condition, got {len(texts)}")
        return _value(texts[0], learned["kind"])
    parts, given = learned["parts"], {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in parts:
            raise ValueError(
                f"--condition: expected NAME=VALUE for each of {', '.join(parts)}, got {text!r}"
            )
        if name in given:
            raise ValueError(f"--condition: {name} is given twice")
        given[name] = _value(value, parts[name]["kind"])
    return given


def as_arrays(given: Conditions | None, number: int) -> dict[str, HostArray]:
    """Conditions by their names in a file, one for each sample."""
    named = given if isinstance(given, dict) else {} if given is None else {"condition": given}
    return {name: np.full(number, v) if v.ndim == 0 else v for name, v in named.items()}


def _value(text: str, kind: str) -> HostArray:
    """A label, a vector, or the array in a file; whole numbers in files of labels are labels."""
    if kind == "labels" and text.isdecimal():
        return np.asarray(int(text))
    if kind == "vectors":
        try:
            return np.array([float(part) for part in text.split(",")], np.float32)
        except ValueError:
            pass
    array = load_array(text)
    whole = kind == "labels" and bool(np.all(array == np.rint(array)))
    return array.astype(np.int64) if whole else array.astype(np.float32)
