"""Small classifiers: do samples belong to their class, and can a classifier learn from them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from energyflow_backends import ArrayLike, Doubles, Floats, Integers, to_host

from .._core.checks import as_labels, check_choice
from .._core.extras import has
from .._core.random import Rng, as_seed
from ..datasets import Dataset
from ._points import as_images, points_together

LARGEST_FOR_MLP = 16
"""Edge of an image in pixels up to which "auto" takes the perceptron."""
_FOLDS = 5  # of the two-sample test


class Classifier(Protocol):
    """Trained on vectors (n, d) or images (n, C, H, W)."""

    def predict(self, values: Floats) -> Integers:
        """The most likely label (n,) of each."""

    def features(self, values: Floats) -> Doubles:
        """The last hidden layer, float64 (n, f)."""


@dataclass(frozen=True)
class ClassifierReport:
    """Accuracies: fractions between 0 and 1.

    Attributes
    ----------
    asked : float
        Share of the samples that a classifier trained on real data puts into the class that they
        were generated for.
    trained_on_samples : float
        Accuracy, on held-out data, of a classifier trained on samples alone.
    trained_on_real : float
        Accuracy, on held-out data, of the classifier trained on real data, to compare both with.
    """

    asked: float
    trained_on_samples: float
    trained_on_real: float


def train_classifier(
    values: ArrayLike, labels: ArrayLike, *, kind: str = "auto", seed: int = 0, device: str = "cpu"
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
        Device on which torch trains the convolutional network.

    Returns
    -------
    Classifier
        With `predict(values)` and `features(values)`, the last hidden layer: a feature space for
        `frechet_distance` and `precision_recall`.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn, or for "cnn" torch, is not installed.
    TypeError, ValueError
        If labels do not fit or are of a single class, or vectors come with "cnn".
    """
    array, classes = to_host(as_images("values", values)), as_labels("labels", labels)
    if classes.shape != (len(array),) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape ({len(array)},), one each, "
            f"got {classes.dtype} of shape {classes.shape}"
        )
    if len(np.unique(classes)) < 2:
        raise ValueError("labels must have at least two classes, got one")
    check_choice("kind", kind, ("auto", "mlp", "cnn"))
    if kind == "auto":
        small = array.ndim == 2 or max(array.shape[2:]) <= LARGEST_FOR_MLP
        kind = "mlp" if small or not has("torch") else "cnn"
    if kind == "cnn":
        if array.ndim != 4:
            raise ValueError(f'kind "cnn" is for images (n, C, H, W), got shape {array.shape}')
        from ._cnn import ConvolutionalNetwork

        return ConvolutionalNetwork(array, classes, seed, device)
    from ._mlp import Perceptron

    return Perceptron(array, classes, seed)


def c2st(samples: ArrayLike, reference: ArrayLike, *, rng: Rng = 0) -> float:
    r"""Classifier two-sample test (C2ST): how well a perceptron tells samples from a reference.

    .. math:: \frac{1}{n + m} \# \{ \text{points of the held-out folds put to their set} \}

    The mean accuracy, in five-fold cross-validation, of a perceptron with two hidden layers of 10 d
    units, on points that are standardised by the reference: 0.5 for equal distributions of equally
    many points, 1 for disjoint ones.

    Parameters
    ----------
    samples, reference : arrays (n, d) and (m, d)
        At least five points each; equally many, or the larger set alone gives more than 0.5.
    rng : int or generator
        Seed of the folds, of the first weights and of the batches.

    Returns
    -------
    float

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    TypeError, ValueError
        If the arrays do not fit, numbers are not finite, or points are too few.

    Notes
    -----
    As in the benchmark sbibm, by scikit-learn's `MLPClassifier` with its defaults and at most
    10,000 iterations. With 2000 points each, two samples of one distribution give 0.5 up to 0.02.
    The time grows with n + m and d^2: seconds for d = 2, up to a minute for d = 10.

    References
    ----------
    Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017; Lueckmann et al.,
    "Benchmarking Simulation-Based Inference", AISTATS 2021.
    """
    together = points_together(samples=samples, reference=reference)
    x, y = (to_host(points).astype(np.float64) for points in together)
    seed = as_seed(rng)
    for name, points in (("samples", x), ("reference", y)):
        if len(points) < _FOLDS:
            raise ValueError(f"{name} must have at least {_FOLDS} points, got {len(points)}")
    scale = y.std(axis=0, ddof=1)
    scale[scale == 0] = 1.0
    from ._mlp import cross_validated_accuracy

    both = ((np.concatenate([x, y]) - y.mean(axis=0)) / scale).astype(np.float32)
    labels = np.repeat([0, 1], [len(x), len(y)])
    return cross_validated_accuracy(both, labels, 10 * x.shape[1], seed)


def classifier_report(
    samples: ArrayLike,
    labels: ArrayLike,
    dataset: Dataset,
    *,
    classifier: Classifier | None = None,
    kind: str = "auto",
    seed: int = 0,
    device: str = "cpu",
) -> ClassifierReport:
    """Whether samples belong to their classes, and what a classifier learns from them.

    Parameters
    ----------
    samples : array (n, d) or (n, C, H, W)
        Samples of a class-conditional model.
    labels : integer array (n,)
        The classes that the samples were generated for.
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
        If the data set has no labels, and as `train_classifier`.
    """
    if dataset.train_labels is None:
        raise ValueError(f"{dataset.name} has no labels: accuracies need classes")
    points_together(samples=samples, train=dataset.train)
    how: dict[str, Any] = {"kind": kind, "seed": seed, "device": device}
    trained = classifier or train_classifier(dataset.train, dataset.train_labels, **how)
    images = to_host(as_images("samples", samples))
    student = train_classifier(images, labels, **how)
    return ClassifierReport(
        asked=float(np.mean(trained.predict(images) == as_labels("labels", labels))),
        trained_on_samples=_accuracy(student, dataset),
        trained_on_real=_accuracy(trained, dataset),
    )


def _accuracy(classifier: Classifier, dataset: Dataset) -> float:
    return float(np.mean(classifier.predict(dataset.test) == dataset.test_labels))
