"""Scaling, channels, and held-out parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from energyflow.datasets import Dataset, from_arrays
from energyflow.datasets._split import held_out_rows


@given(
    hnp.arrays(np.int64, st.integers(2, 60), elements=st.integers(0, 4)),
    st.floats(0, 1),
    st.integers(0, 5),
    st.booleans(),
)
def test_every_row_is_in_one_part_and_classes_give_their_share(labels, fraction, seed, labelled):
    n = len(labels)
    n_test = round(1 + fraction * (n - 2))
    test, train = held_out_rows(n, labels if labelled else None, n_test, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([test, train])), np.arange(n))
    assert len(test) == n_test
    if labelled:
        share = np.bincount(labels) * len(test) / n
        held_out = np.bincount(labels[test], minlength=len(share))
        assert np.all(np.abs(held_out - share) < 1)


def test_the_largest_remainder_rounds_up():
    labels = np.repeat([0, 1, 2], [7, 2, 1])  # shares of 4: 2.8, 0.8, 0.4
    for n_test, wanted in ((4, [3, 1, 0]), (8, [6, 1, 1]), (1, [1, 0, 0])):
        test, _ = held_out_rows(10, labels, n_test, 0)
        assert np.bincount(labels[test], minlength=3).tolist() == wanted


@pytest.mark.parametrize(
    ("given_shape", "wanted"),
    [
        ((6,), (1,)),
        ((6, 5), (5,)),
        ((6, 4, 5), (1, 4, 5)),
        ((6, 3, 4, 5), (3, 4, 5)),
        ((6, 4, 5, 3), (3, 4, 5)),
        ((6, 4, 5, 1), (1, 4, 5)),
        ((6, 3, 5, 3), (3, 5, 3)),
        ((6, 7, 4, 5), (7, 4, 5)),
    ],
)
def test_channels_come_first(given_shape, wanted):
    assert from_arrays(np.zeros(given_shape)).shape == wanted


def test_channels_last_are_moved():
    images = np.random.default_rng(0).random((5, 4, 6, 3), dtype=np.float32)
    data = from_arrays(images)
    found = {image.tobytes() for image in np.concatenate([data.train, data.test])}
    assert found == {np.moveaxis(image, 2, 0).tobytes() for image in images}


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.array([[0], [255], [51]], dtype=np.uint8), 0, 255),
        (np.array([[0.25], [0.5], [1]]), 0, 1),
        (np.array([[-3.0], [5.0], [1.0]], dtype=np.float32), -3, 5),
        (np.array([[1000], [3000], [2000]], dtype=np.int32), 1000, 3000),
        (np.array([[7.0], [7.0], [7.0]]), 7, 8),
        (np.array([[True], [False], [True]]), 0, 1),
    ],
)
def test_scaled_by_one_affine_map(values, low, high):
    data = from_arrays(values, np.arange(3), split=0.3)
    assert (data.low, data.high) == (low, high)
    labels = np.concatenate([data.train_labels, data.test_labels])
    unit = np.concatenate([data.train, data.test])
    np.testing.assert_allclose(low + unit * (high - low), values[labels], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "labels", "error", "told"),
    [
        ("text", None, TypeError, "array of real numbers, got str"),
        ([["1"], ["2"]], None, TypeError, "real numbers, got text"),
        (np.ones((3, 2), complex), None, TypeError, "complex128"),
        (np.ones((3, 2, 2, 2, 2)), None, ValueError, r"\(3, 2, 2, 2, 2\)"),
        (np.ones((3, 0)), None, ValueError, r"\(3, 0\)"),
        (np.ones((1, 2)), None, ValueError, "at least 2 elements"),
        (np.array([[np.nan], [1.0], [2.0]]), None, ValueError, "NaN"),
        (np.array([[np.inf], [1.0], [2.0]]), None, ValueError, "infinity"),
        (np.array([[1e308], [-1e308]]), None, ValueError, "range that is finite, got -1e.308 to"),
        (np.ones((3, 2)), np.zeros(4, int), ValueError, r"\(3,\).*\(4,\)"),
        (np.ones((3, 2)), np.zeros(3), TypeError, "integers, got float64"),
        (np.ones((3, 2)), np.array([0, 1, -1]), ValueError, "negative|classes"),
        (np.ones((3, 2)), np.array([0, 1, 2**40]), ValueError, "classes 0, 1"),
    ],
)
def test_bad_arrays_are_named(values, labels, error, told):
    with pytest.raises(error, match=told):
        from_arrays(values, labels)


def test_lists_and_tensors_are_the_arrays_of_their_numbers():
    torch = pytest.importorskip("torch", reason="tensors are torch's")
    values, labels = np.arange(40).reshape(20, 2) / 7, np.arange(20) % 2
    expected = from_arrays(values, labels, condition=values)
    lists = from_arrays(values.tolist(), labels.tolist(), condition=values.tolist())
    tensors = from_arrays(*map(torch.from_numpy, (values, labels)), condition=values)
    for found in (lists, tensors):
        for name in ("train", "test", "train_labels", "test_condition"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", [int, np.uint8, np.float16, bool])
def test_conditions_of_any_real_numbers(dtype):
    condition = (np.arange(20) % 2).astype(dtype)
    found = from_arrays(np.arange(20.0), condition=condition)
    lists = from_arrays(np.arange(20.0), condition=condition.tolist())
    for name in ("train_condition", "test_condition"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), getattr(lists, name))
    with pytest.raises(TypeError, match="condition must hold real numbers, got complex"):
        from_arrays(np.arange(20.0), condition=condition * 1j)


def test_a_data_set_keeps_its_promises():
    good = np.ones((3, 2), np.float32)
    three = np.arange(3)
    assert Dataset(good, good, three, three, "x").n_classes == 3
    for arguments, error, told in [
        ((good.astype(float), good, None, None), TypeError, "train must be a float32.*float64"),
        ((good, good[:0], None, None), ValueError, "test must have shape"),
        ((good, good[:, :1], None, None), ValueError, "one shape"),
        ((good + 1, good, None, None), ValueError, r"\[0, 1\], got numbers from 2 to 2"),
        ((good * np.float32(np.nan), good, None, None), ValueError, r"nan"),
        ((good, good, three, None), ValueError, "both"),
        ((good, good, three, three[:2]), ValueError, "test_labels: expected 3 labels"),
        ((good, good, three - 1, three), ValueError, "negative"),
        ((good, good, three.astype(np.int32), three), TypeError, "int64"),
        ((good, good, three, three, "x", 0.0, 1.0, ("a", "b")), ValueError, "names of 3"),
    ]:
        with pytest.raises(error, match=told):
            Dataset(*(arguments if len(arguments) > 4 else (*arguments, "x")))
