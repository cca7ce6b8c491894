"""Units of conditions: each number of a vector by itself, maps together, files of before."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from energyflow.models import UNet  # noqa: E402
from energyflow.models.data.conditions import Conditions  # noqa: E402
from energyflow.models.data.conditions_by_name import (  # noqa: E402
    conditions_from_json,
    read_conditions,
)

UNITS, OFFSETS = np.array([1e-6, 1.0, 1e6]), np.array([3e-6, 1e4, -5.0])


def test_each_number_of_a_vector_is_standardised(rng: np.random.Generator) -> None:
    plain = rng.normal(size=(500, 3))
    _, encoded = Conditions.of(plain, 500)
    np.testing.assert_allclose(encoded.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(encoded.std(0, correction=0), 1, atol=1e-6)
    conditions, other = Conditions.of(plain * UNITS + OFFSETS, 500)
    np.testing.assert_allclose(other, encoded, atol=1e-6)
    one = conditions.encode(OFFSETS, 2)
    assert one.dtype == torch.float32
    np.testing.assert_allclose(one, np.tile(-plain.mean(0) / plain.std(0), (2, 1)), atol=1e-5)


def test_constant_numbers_keep_their_scale(rng: np.random.Generator) -> None:
    vectors = np.stack([np.full(7, 0.1), rng.normal(size=7)], axis=1)
    conditions, encoded = Conditions.of(vectors, 7)
    assert not encoded[:, 0].any()
    np.testing.assert_allclose(conditions.encode(np.array([1.1, 0.0]), 1)[0, 0], 1, atol=1e-6)


def test_maps_share_mean_and_scale(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(9, 2, 4, 4)) * np.array([1, 10.0])[:, None, None]
    conditions, encoded = Conditions.of(maps, 9)
    assert isinstance(conditions.scale, float)
    np.testing.assert_allclose(encoded, (maps - maps.mean()) / maps.std(), atol=1e-5)


def test_files_of_before_have_one_scale_for_all() -> None:
    before = {"kind": "vectors", "shape": [2], "mean": 1.0, "scale": 2.0}
    conditions = Conditions.from_json(before)
    assert conditions.as_json() == before
    np.testing.assert_array_equal(conditions.encode(np.array([1.0, 5.0]), 1), [[0, 2]])


def test_json_keeps_all_digits(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(20, 3)) * UNITS + OFFSETS
    several, encoded = read_conditions({"a": vectors, "b": np.arange(20) % 2}, 20)
    kept = json.loads(json.dumps(several.as_json()))
    same = conditions_from_json(kept).encode({"a": vectors, "b": np.arange(20) % 2}, 20)
    np.testing.assert_array_equal(same, encoded)


def test_series_are_standardised_column_by_column(rng: np.random.Generator) -> None:
    series = rng.normal(size=(50, 7, 3)) * UNITS + OFFSETS
    conditions, encoded = Conditions.of(series, 50)
    assert conditions.kind == "series"
    np.testing.assert_allclose(encoded.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(encoded.std((0, 1), correction=0), 1, atol=1e-6)
    np.testing.assert_allclose(conditions.encode(series[0, ::-1], 1)[0], encoded[0].flip(0))
    again = Conditions.from_json(json.loads(json.dumps(conditions.as_json())))
    np.testing.assert_array_equal(again.encode(series, 50), encoded)


def test_a_unet_takes_no_series() -> None:
    with pytest.raises(ValueError, match=r"vectors or maps, got series of shape \(5, 3\): give an"):
        UNet().build((1, 8, 8), [(5, 3), (1,)])
