"""All measures of a model or of its samples, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from energyflow_backends import ArrayLike, Floats, HostArray, Integers, to_host

from .._core.checks import as_labels, check_count
from .._core.random import Rng, as_generator, as_seed
from ..datasets import Dataset
from ._classifier import Classifier, classifier_report, train_classifier
from ._energy import energy_distance_report
from ._frechet import frechet_distance
from ._kernel_distance import kernel_distance
from ._neighbours import nearest_neighbours
from ._points import as_images, points_together
from ._precision import precision_recall
from ._report import Report, Row

MOST_SAMPLES = 10_000
MOST_IN_FEATURE_SPACE = 2_500
LOWER, HIGHER, SAME = "lower", "higher", "as real"
Features = Callable[[Floats], Floats]
Labels: TypeAlias = ArrayLike | str | None


def evaluate(
    source: Any,
    dataset: Dataset,
    *,
    labels: Labels = None,
    condition: Literal["data"] | None = None,
    n: int | None = None,
    features: Features | str = "auto",
    k: int = 3,
    n_repeats: int = 5,
    rng: Rng = 0,
    device: str = "cpu",
) -> Report:
    """Compare samples with held-out data, every number beside that of real data.

    Parameters
    ----------
    source : generator or array
        A model with `sample(n, condition=None, rng=None)`, or samples (n, d) or (n, C, H, W).
    dataset : Dataset
        Training and held-out data, as the model was given them.
    labels : integer array (n,) or "data", optional
        Classes of a class-conditional model: those that samples were generated for, or that a
        generator is given here; "data" gives it classes in the proportions of the training data.
    condition : "data", optional
        Gives a generator the continuous conditions of training data; with labels="data" both,
        under the names "labels" and "condition".
    n : int, optional
        Samples drawn from a generator: as many as training data, at most 10,000, when not given.
    features : "auto", "data" or callable
        Where the Fréchet and kernel distance, precision and recall are computed: in the last hidden
        layer of a classifier trained on the training data ("auto", where there are labels), on the
        data themselves, or in a space of your own, a function from values to an array (n, f).
    k : int
        Neighbours that a ball reaches, see `precision_recall`.
    n_repeats : int
        Random halves of the held-out data over which measures are averaged.
    rng : int or generator
        For samples, subsets and classifiers.
    device : str
        Device on which torch trains a convolutional classifier.

    Returns
    -------
    Report
        With the rows: energy distance; Fréchet and kernel distance, precision and recall; for a
        class-conditional model two accuracies, unless there is only one class; median distance
        to the nearest training point and fraction of copies.

    Raises
    ------
    TypeError, ValueError
        If samples, labels and data do not fit together, or samples are NaN or infinite.

    Notes
    -----
    In the column of real data, sets of the same sizes are compared: in the energy distance both
    are drawn from all data; in feature space they are random halves of the held-out data, at most
    2,500 each, because the classifier was trained on the rest.
    """
    rng = as_seed(rng)
    if hasattr(source, "sample"):
        samples, classes = _generate(source, dataset, labels, condition, n, rng)
    else:
        samples, classes = _given(source, labels, condition, n)
    points_together(samples=samples, train=dataset.train)
    if samples.shape[1:] != dataset.shape:
        raise ValueError(
            f"samples must be of shape {dataset.shape} each as the data are, "
            f"got {samples.shape[1:]}"
        )
    if classes is not None and classes.shape != (len(samples),):
        raise ValueError(
            f"labels must have shape ({len(samples)},), one for each sample, got {classes.shape}"
        )
    classifier = _classifier(dataset, features, classes is not None, rng, device)
    space, name = _space(features, classifier)

    strata = None
    if dataset.stratified and dataset.train_labels is not None:
        strata = np.concatenate([dataset.test_labels, dataset.train_labels])
    energy = energy_distance_report(samples, dataset.test, rng, real=dataset.train, strata=strata)
    rows = [
        Row("energy distance to held-out data", energy.distance, energy.floor, LOWER),
        Row("energy distance over that of real data", energy.ratio, 1.0, LOWER),
    ]
    rows += _in_feature_space(space(samples), space(dataset.test), k, n_repeats, rng)
    if classes is not None and classifier is not None and len(np.unique(classes)) > 1:
        accuracy = classifier_report(
            samples, classes, dataset, classifier=classifier, seed=rng, device=device
        )
        real = accuracy.trained_on_real
        rows += [
            Row("samples of the class asked for", accuracy.asked, real, HIGHER),
            Row("accuracy when trained on samples", accuracy.trained_on_samples, real, HIGHER),
        ]
    near = nearest_neighbours(samples, dataset.train, dataset.test)
    rows += [
        Row("distance to nearest training point", near.median, near.held_out_median, SAME),
        Row("copies of training points", near.copies, near.held_out_copies, SAME),
    ]
    return Report(tuple(rows), dataset.name, len(samples), name, samples, classes, near)


def _given(
    samples: ArrayLike, labels: Labels, condition: str | None, n: int | None
) -> tuple[Floats, Integers | None]:
    """Samples, and their labels."""
    if condition is not None:
        raise ValueError("condition is for generators; samples have been asked for")
    if n is not None:
        raise ValueError("n is for generators; samples are all looked at")
    if isinstance(labels, str):
        raise ValueError(f"labels={labels!r} is for generators; give the labels of the samples")
    return to_host(as_images("samples", samples)), None if labels is None else as_labels(
        "labels", labels
    )


def _generate(
    generator: Any, dataset: Dataset, labels: Labels, condition: str | None, n: int | None, rng: int
) -> tuple[Floats, Integers | None]:
    """Samples of a model, and the labels that it was given."""
    classes = None if labels is None or isinstance(labels, str) else as_labels("labels", labels)
    if n is not None:
        n = check_count("n", n)
    else:
        n = min(len(dataset.train), MOST_SAMPLES) if classes is None else len(classes)
    given: Any = classes
    if condition is not None:
        given, classes = _conditions_of_the_data(dataset, labels, condition, n, rng)
    elif isinstance(labels, str):
        given = classes = _labels_of_the_data(dataset, labels, n, rng)
    return to_host(generator.sample(n, condition=given, rng=rng)), classes


def _labels_of_the_data(dataset: Dataset, labels: str, n: int, rng: int) -> Integers:
    """Labels (n,) in the proportions of the training data, up to one each, in random order."""
    if labels != "data":
        raise ValueError(f'labels must be an array or "data", got {labels!r}')
    known = _required(dataset, dataset.train_labels, "labels")
    in_order = np.sort(known)[_evenly_spaced(len(known), n)]
    return np.asarray(as_generator(rng).permutation(in_order))


def _conditions_of_the_data(
    dataset: Dataset, labels: Labels, condition: str, n: int, rng: int
) -> tuple[HostArray | dict[str, HostArray], Integers | None]:
    """Conditions of n training points, each as often up to one, with labels where "data" is."""
    fits = labels is None or (isinstance(labels, str) and labels == "data")
    if condition != "data" or not fits:
        raise ValueError('condition must be "data", and labels "data" or left out beside it')
    known = _required(dataset, dataset.train_condition, "conditions")
    rows = as_generator(rng).permutation(_evenly_spaced(len(dataset.train), n))
    if labels is None:
        return known[rows], None
    classes = _required(dataset, dataset.train_labels, "labels")[rows]
    return {"labels": classes, "condition": known[rows]}, classes


def _required(dataset: Dataset, array: HostArray | None, name: str) -> HostArray:
    if array is None:
        raise ValueError(f"{dataset.name} has no {name} to ask for")
    return array


def _evenly_spaced(total: int, n: int) -> Integers:
    """Row numbers (n,) below `total`."""
    return ((np.arange(n) + 0.5) * (total / n)).astype(np.int64)


def _classifier(
    dataset: Dataset, features: Features | str, conditional: bool, seed: int, device: str
) -> Classifier | None:
    """A classifier of the data, if a measure needs one and there are classes."""
    needed = conditional or (isinstance(features, str) and features == "auto")
    if dataset.train_labels is None or len(np.unique(dataset.train_labels)) < 2 or not needed:
        return None
    return train_classifier(dataset.train, dataset.train_labels, seed=seed, device=device)


def _space(features: Features | str, classifier: Classifier | None) -> tuple[Features, str]:
    """The function from values to features, and its name."""
    if callable(features):
        return lambda values: to_host(features(values)), "given"
    if features not in ("auto", "data"):
        raise ValueError(f'features must be "auto", "data" or callable, got {features!r}')
    if features == "auto" and classifier is not None:
        return classifier.features, "classifier"
    return lambda values: values.reshape(len(values), -1), "data"


def _in_feature_space(
    samples: Floats, held_out: Floats, k: int, n_repeats: int, seed: int
) -> list[Row]:
    """Samples, and one half of the held-out data, against the other half; means over halves."""
    generator = as_generator(seed)
    n = min(len(held_out) // 2, len(samples), MOST_IN_FEATURE_SPACE)
    if n <= k:
        return []
    results = []
    for _ in range(check_count("n_repeats", n_repeats)):
        order = generator.permutation(len(held_out))
        fixed, other = held_out[order[:n]], held_out[order[n : 2 * n]]
        drawn = samples[generator.permutation(len(samples))[:n]]
        measures = [
            (
                frechet_distance(x, fixed),
                kernel_distance(x, fixed),
                *precision_recall(fixed, x, k),
            )
            for x in (drawn, other)
        ]
        results.append([[float(value) for value in row] for row in measures])
    means = np.mean(results, axis=0).T  # (measure, samples or real)
    names = (
        ("Fréchet distance", LOWER), ("kernel distance", LOWER),
        ("precision", HIGHER), ("recall", HIGHER),
    )  # fmt: skip
    return [
        Row(name, float(x), float(y), better)
        for (name, better), (x, y) in zip(names, means, strict=True)
    ]
