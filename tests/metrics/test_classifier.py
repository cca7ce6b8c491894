"""Small classifiers tell classes apart, and say whether samples are of theirs."""

import numpy as np
import pytest

from energyflow.datasets import Dataset, from_arrays
from energyflow.metrics import classifier_report, train_classifier

pytest.importorskip("sklearn", reason="the perceptron is scikit-learn's")


def stripes(n, size, channels=1, seed=0):
    """Images of level (0) and upright (1) stripes, at random phases, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    wave = np.sin(np.arange(size) + rng.uniform(0, 6, (n, 1))) / 4 + 0.5
    images = np.where(labels[:, None, None] == 0, wave[:, :, None], wave[:, None, :])
    images = np.repeat(images[:, None], channels, axis=1)
    noise = rng.normal(scale=0.05, size=images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32), labels


@pytest.fixture(scope="module")
def blobs() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    centres = np.array([[0, 0], [3, 0], [0, 3]])
    return from_arrays(centres[labels] + rng.normal(scale=0.3, size=(300, 2)), labels)


def test_samples_of_the_right_and_of_wrong_classes(blobs):
    report = classifier_report(blobs.test, blobs.test_labels, blobs)
    assert report.asked == report.trained_on_real > 0.97
    assert report.trained_on_samples > 0.9
    shifted = classifier_report(blobs.test, (blobs.test_labels + 1) % 3, blobs)
    assert shifted.asked < 0.03
    assert shifted.trained_on_samples < 0.1
    assert shifted.trained_on_real == report.trained_on_real


@pytest.mark.parametrize(
    ("kind", "size", "channels"), [("mlp", 8, 1), ("cnn", 12, 1), ("cnn", 9, 3)]
)
def test_images(kind, size, channels):
    if kind == "cnn":
        pytest.importorskip("torch", reason="the convolutional network is torch's")
    images, labels = stripes(100, size, channels)
    fresh, wanted = stripes(100, size, channels, seed=1)
    classifier = train_classifier(images, labels, kind=kind)
    assert np.mean(classifier.predict(fresh) == wanted) > 0.95
    features = classifier.features(fresh)
    assert features.shape == (100, 64)
    assert features.dtype == np.float64
    again = train_classifier(images, labels, kind=kind)
    np.testing.assert_array_equal(again.features(fresh), features)


def test_labels_need_not_be_in_a_row(blobs):
    classifier = train_classifier(blobs.train, blobs.train_labels * 5 + 2)
    assert set(classifier.predict(blobs.test)) == {2, 7, 12}


def test_torch_is_left_as_it_was():
    torch = pytest.importorskip("torch", reason="the convolutional network is torch's")
    before = torch.random.get_rng_state()
    images, labels = stripes(40, 6)
    train_classifier(images, labels, kind="cnn")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_perceptrons_features_give_its_answers(blobs):
    classifier = train_classifier(blobs.train, blobs.train_labels)
    network = classifier._network
    logits = classifier.features(blobs.test) @ network.coefs_[-1] + network.intercepts_[-1]
    np.testing.assert_array_equal(logits.argmax(axis=1), classifier.predict(blobs.test))


@pytest.mark.parametrize(
    ("labels", "kind", "told"),
    [
        (np.zeros(5, int), "auto", "at least two classes"),
        (np.arange(4), "auto", r"\(5,\).*\(4,\)"),
        (np.linspace(0, 1, 5), "auto", "float64"),
        (np.arange(5), "svm", "kind must be one of"),
        (np.arange(5), "cnn", "images"),
    ],
)
def test_bad_input_is_named(labels, kind, told):
    with pytest.raises(ValueError, match=told):
        train_classifier(np.ones((5, 2)), labels, kind=kind)


def test_accuracies_need_labels():
    data = from_arrays(np.random.default_rng(0).random((9, 2)))
    with pytest.raises(ValueError, match="no labels"):
        classifier_report(data.test, np.zeros(2, int), data)
