"""Small classifiers: are samples of the class that was asked for, and can one learn of them?"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from energyflow_backends import to_host

from .._core.checks import check_choice
from ..datasets import Dataset
from ._points import Floats, points_together

LARGEST_FOR_MLP = 16
"""Edge of an image in pixels up to which "auto" takes the perceptron."""


class Classifier(Protocol):
    """Trained on vectors (n, d) or images (n, C, H, W)."""

    def predict(self, values: Floats) -> Floats:
        """The most likely label (n,) of each."""

    def features(self, values: Floats) -> Floats:
        """The last hidden layer, float64 (n, f)."""


@dataclass(frozen=True)
class ClassifierReport:
    """Accuracies: fractions between 0 and 1.

    Attributes
    ----------
    asked : float
        Samples that a classifier trained on real data gives the class that was asked for.
    trained_on_samples : float
        Of a classifier trained on samples alone, on held-out data.
    trained_on_real : float
        Of the classifier trained on real data, on held-out data, beside both.
    """

    asked: float
    trained_on_samples: float
    trained_on_real: float


def train_classifier(
    values: Any, labels: Any, *, kind: str = "auto", seed: int = 0, device: str = "cpu"
) -> Classifier:
    """Train a small classifier, with settings that suit small data.

    Parameters
    ----------
    values : array (n, d) or (n, C, H, W)
        Vectors, or images in [0, 1].
    labels : integer array (n,)
        At least two classes.
    kind : "auto", "mlp" or "cnn"
        A perceptron with two hidden layers (scikit-learn), or a convolutional network for images
        (torch). "auto" takes the perceptron for vectors, for images of at most 16 x 16 pixels, and
        where torch is not installed.
    seed : int
        Seed of the first weights and of the batches.
    device : str
        Where torch trains the convolutional network.

    Returns
    -------
    Classifier
        With `predict(values)` and `features(values)`, the last hidden layer: a feature space for
        `frechet_distance` and `precision_recall`.

    Raises
    ------
    ModuleNotFoundError
        scikit-learn, or for "cnn" torch, is not installed.
    TypeError, ValueError
        Labels that do not fit, a single class, vectors for "cnn".
    """
    (points,) = points_together(values=values)
    array, classes = to_host(values), np.asarray(to_host(labels))
    if classes.shape != (len(points),) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape ({len(points)},), one each, "
            f"got {classes.dtype} of shape {classes.shape}"
        )
    if len(np.unique(classes)) < 2:
        raise ValueError("labels must have at least two classes, got one")
    check_choice("kind", kind, ("auto", "mlp", "cnn"))
    if kind == "auto":
        small = array.ndim == 2 or max(array.shape[2:]) <= LARGEST_FOR_MLP
        kind = "mlp" if small or find_spec("torch") is None else "cnn"
    if kind == "cnn":
        if array.ndim != 4:
            raise ValueError(f'kind "cnn" is for images (n, C, H, W), got shape {array.shape}')
        from ._cnn import ConvolutionalNetwork

        return ConvolutionalNetwork(array, classes, seed, device)
    from ._mlp import Perceptron

    return Perceptron(array, classes, seed)


def classifier_report(
    samples: Any,
    labels: Any,
    dataset: Dataset,
    *,
    classifier: Classifier | None = None,
    kind: str = "auto",
    seed: int = 0,
    device: str = "cpu",
) -> ClassifierReport:
    """Whether samples show the class that was asked for, and what a classifier learns of them.

    Parameters
    ----------
    samples : array (n, d) or (n, C, H, W)
        Samples of a class-conditional model.
    labels : integer array (n,)
        The classes that were asked for.
    dataset : Dataset
        Real data with labels.
    classifier : Classifier, optional
        One that is trained on `dataset.train`; trained here when not given.
    kind, seed, device
        As in `train_classifier`.

    Returns
    -------
    ClassifierReport

    Raises
    ------
    TypeError, ValueError
        A data set without labels, and as `train_classifier`.
    """
    if dataset.train_labels is None:
        raise ValueError(f"{dataset.name} has no labels: accuracies need classes")
    points_together(samples=samples, train=dataset.train)
    trained = classifier or train_classifier(
        dataset.train, dataset.train_labels, kind=kind, seed=seed, device=device
    )
    student = train_classifier(samples, labels, kind=kind, seed=seed, device=device)
    return ClassifierReport(
        asked=float(np.mean(trained.predict(to_host(samples)) == to_host(labels))),
        trained_on_samples=_accuracy(student, dataset),
        trained_on_real=_accuracy(trained, dataset),
    )


def _accuracy(classifier: Classifier, dataset: Dataset) -> float:
    return float(np.mean(classifier.predict(dataset.test) == dataset.test_labels))
