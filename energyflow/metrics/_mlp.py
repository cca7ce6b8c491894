"""A perceptron with two hidden layers, by scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from energyflow_backends import Doubles, Floats, Integers

from .._core.extras import need

HIDDEN = (256, 64)
_SEEDS = 2**32  # that scikit-learn takes


class Perceptron:
    """Trained once, on centred data of standard deviation one; the same from run to run."""

    def __init__(self, values: Floats, labels: Integers, seed: int) -> None:
        need("sklearn", "the classifier", "models")
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        points = _flat(values)
        self._centre = points.mean(axis=0)
        self._scale = float(points.std(axis=0).max()) or 1.0
        self._network = MLPClassifier(
            HIDDEN, alpha=0.1, learning_rate_init=3e-3, random_state=seed % _SEEDS,
            max_iter=int(np.clip(60_000 // len(points), 10, 40)),
        )  # fmt: skip
        # products of so small matrices are slower on several threads than on one
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs
            self._network.fit(self._standardised(values), labels)

    def predict(self, values: Floats) -> Integers:
        """The most likely label (n,) of each."""
        return np.asarray(self._network.predict(self._standardised(values)))

    def features(self, values: Floats) -> Doubles:
        """The last hidden layer (n, 64)."""
        layer, network = self._standardised(values), self._network
        for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
            layer = np.maximum(layer @ weights + bias, 0)
        return layer

    def _standardised(self, values: Floats) -> Doubles:
        standardised: Doubles = (_flat(values) - self._centre) / self._scale
        return standardised


def cross_validated_accuracy(points: Floats, labels: Integers, n_units: int, seed: int) -> float:
    """Mean accuracy in five shuffled folds of a perceptron with two layers of `n_units`."""
    need("sklearn", "the classifier", "models")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    state = seed % _SEEDS
    network = MLPClassifier((n_units, n_units), max_iter=10_000, random_state=state)
    folds = KFold(5, shuffle=True, random_state=state)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(cross_val_score(network, points, labels, cv=folds).mean())


def _flat(values: Floats) -> Doubles:
    return values.reshape(len(values), -1).astype(np.float64)
