"""What `print` says of a value: one line, without arrays and addresses."""

from __future__ import annotations

import numpy as np
import pytest

import energyflow as ef
from energyflow import datasets, metrics

X = np.random.default_rng(0).normal(size=(30, 2))
MOONS = datasets.load("moons", n=100)

SHOWN = {
    "ParticleFlow(to 30 points in 2 dimensions)": ef.ParticleFlow(X),
    "MMDFlow(to 30 points in 2 dimensions)": ef.MMDFlow(X),
    "KALEFlow(to 30 points in 2 dimensions)": ef.KALEFlow(X, regularization=0.1),
    "ConditionalFlow(to 30 points in 2 dimensions, given 1)": ef.ConditionalFlow(X, X[:, :1]),
    "Coupling(30 pairs of 30 and 30 points)": ef.conditional_coupling(X, X, X, X),
    "Coupling(2 times 30 pairs of 30 and 30 points)": ef.conditional_coupling(
        *[np.stack([X, X + 1])] * 4
    ),
    f"Dataset('moons': {len(MOONS.train)} points to train on and {len(MOONS.test)} held out, "
    "shape (2,), 2 classes)": MOONS,
    "Dataset('own': 20 points to train on and 10 held out, shape (2,), conditions (1,))": (
        datasets.Dataset(
            *np.split(np.zeros((30, 2), np.float32), [20]), None, None, "own",
            train_condition=np.zeros((20, 1), np.float32),
            test_condition=np.zeros((10, 1), np.float32),
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("expected", SHOWN)
def test_it_prints_one_line(expected: str) -> None:
    assert str(SHOWN[expected]) == repr(SHOWN[expected]) == expected


def test_reports_print_their_numbers() -> None:
    pytest.importorskip("sklearn", reason="neighbours need scikit-learn")
    report = metrics.nearest_neighbours(X, X + 1, X + 2)
    assert str(report) == (
        f"NeighbourReport(30 samples: {report.copies:.3g} copies, {report.held_out_copies:.3g} of "
        f"held-out data; median distance {report.median:.3g})"
    )


def test_models_print_settings_and_state() -> None:
    models = pytest.importorskip("energyflow.models", reason="models are an extra")
    assert str(models.DMMD()) == "DMMD(): not trained"
    model = models.FlowMatching(batch_size=16, early_stopping=False, n_steps=5)
    assert str(model) == "FlowMatching(batch_size=16, early_stopping=False, n_steps=5): not trained"
    model.fit(X.astype(np.float32), np.arange(30) % 2, progress=False)
    assert str(model).endswith(": trained on data of shape (2,) given labels, 5 steps")
