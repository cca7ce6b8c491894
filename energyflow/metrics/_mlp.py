"""A perceptron with two hidden layers, by scikit-learn."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np

from ._points import Floats

HIDDEN = (256, 64)


class Perceptron:
    """Trained once, on centred data of spread one; the same from run to run."""

    def __init__(self, values: Floats, labels: Floats, seed: int) -> None:
        if find_spec("sklearn") is None:
            raise ModuleNotFoundError(
                "the classifier needs scikit-learn: pip install 'energyflow-mmd[models]'"
            )
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        points = _flat(values)
        self._centre = points.mean(axis=0)
        self._scale = float(points.std(axis=0).max()) or 1.0
        self._network = MLPClassifier(
            HIDDEN,
            alpha=0.1,
            learning_rate_init=3e-3,
            max_iter=int(np.clip(60_000 // len(points), 10, 40)),
            random_state=seed,
        )
        # products of so small matrices are slower on several threads than on one
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs
            self._network.fit(self._prepared(values), labels)

    def predict(self, values: Floats) -> Floats:
        """The most likely label (n,) of each."""
        return np.asarray(self._network.predict(self._prepared(values)))

    def features(self, values: Floats) -> Floats:
        """The last hidden layer (n, 64)."""
        layer = self._prepared(values)
        for weights, bias in zip(
            self._network.coefs_[:-1], self._network.intercepts_[:-1], strict=True
        ):
            layer = np.maximum(layer @ weights + bias, 0)
        return layer

    def _prepared(self, values: Floats) -> Floats:
        prepared: Floats = (_flat(values) - self._centre) / self._scale
        return prepared


def _flat(values: Floats) -> Floats:
    return values.reshape(len(values), -1).astype(np.float64)
