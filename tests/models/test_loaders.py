"""Data sets and loaders of torch as data of `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from energyflow.models import DMMD, MLP
from energyflow.models.data import loaders
from energyflow.models.data.loaders import in_memory

X = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(30) % 3


class Listed(Dataset[Any]):
    """Items of a list, as data sets of files give them."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        return self.items[place]


class Stream(IterableDataset[Any]):
    """Items of an iterator, without a length."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X),
        Listed(list(X)),
        Listed(list(X.numpy())),
        Stream(X),
        DataLoader(TensorDataset(X), batch_size=7),
        DataLoader(Stream(X), batch_size=7),
        DataLoader(X, batch_size=4),  # type: ignore[arg-type]
    ],
)
def test_points_are_read_in_order(data: Any) -> None:
    points, condition = in_memory("data", data, None)
    assert condition is None
    assert torch.equal(points, X)


def test_reading_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    in_memory("data", TensorDataset(X), None)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X, LABELS),
        Listed([(x, int(label)) for x, label in zip(X.numpy(), LABELS, strict=True)]),
        DataLoader(TensorDataset(X, LABELS), batch_size=8),
    ],
)
def test_pairs_are_data_and_conditions(data: Any) -> None:
    points, condition = in_memory("data", data, None)
    assert torch.equal(points, X)
    assert torch.equal(condition, LABELS)


def test_a_model_learns_the_same_from_a_loader() -> None:
    def samples(data: Any, condition: Any = None, held_out: Any = None, given: Any = None) -> Any:
        model = DMMD(n_steps=2, architecture=MLP(width=8, depth=1))
        model.fit(data, condition, held_out, held_out_condition=given, progress=False)
        return model.sample(4, 1, rng=0)

    loader = DataLoader(TensorDataset(X, LABELS), batch_size=8)
    assert torch.equal(samples(loader), samples(X, LABELS))
    held_out = TensorDataset(X[:6] + 1, LABELS[:6])
    assert torch.equal(samples(loader, None, held_out), samples(X, LABELS, X[:6] + 1, LABELS[:6]))


def test_arrays_stay_as_they_are() -> None:
    data = np.zeros((3, 2))
    assert in_memory("data", data, 1)[0] is data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Stream(repeat(X[0])), "data must end, and hold at most"),
        (Stream(torch.full((2,), float(k)) for k in count()), "data must end"),
        (Listed([X[0]] * 2000), "got at least 0.0 GiB; larger data go in as an array"),
        (Listed([]), "data must not be empty"),
        (Listed([(X[0], 1, 2)]), "points or pairs of points and conditions, got 3 values"),
        (Listed([X[0], (X[1], 1)]), "points or pairs, got both"),
        (DataLoader(Listed([X[0], (X[1], 1)]), batch_size=1), "points or pairs, got both"),
        (Listed([X[0], X[0, :1]]), r"data\[1\] must have the shape .*\(2,\), got \(1,\)"),
        (Listed([(X[0], 1), (X[0], X[1])]), r"data\[1\] .*\(2,\) and \(\), got \(2,\) and \(2,\)"),
        (DataLoader(Listed([X[0], X[0, :1]])), r"batch 1 of data must have the shape .*got \(1,\)"),
    ],
)
def test_faults_are_named(data: Any, message: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(loaders, "_MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match=message):
        in_memory("data", data, None)


def test_other_items_are_named() -> None:
    items: list[Any] = [{"image": X[0]}, "cat", (X[0], "cat")]
    for item in items:
        with pytest.raises(TypeError, match=r"data\[1\] must be a NumPy array or a tensor"):
            in_memory("data", Listed([X[0], item]), None)
    with pytest.raises(TypeError, match=r"data \(batch 0 of it\) must be real numbers, got text"):
        in_memory("data", DataLoader(Listed([(X[0], "1"), (X[0], "2")])), None)
    with pytest.raises(ValueError, match="condition must be left out: data gives pairs"):
        in_memory("data", TensorDataset(X, LABELS), LABELS)
