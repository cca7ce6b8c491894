"""Sets of vectors or images as points, and the distances between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from energyflow_backends import (
    Array,
    Floats,
    library_of,
    namespace,
    to_host,
    widest_dtypes,
)

from .._core.checks import (
    all_as_floats,
    as_floats,
    check_array,
    check_finite,
    check_together,
    shape,
)

BYTES = 64 * 2**20
_LARGEST = 2.0**500


def as_points(name: str, values: Any) -> Array:
    """Vectors (n, d) or images, checked, as points (n, d) in the same library."""
    images = as_images(name, values)
    return images if images.ndim == 2 else namespace(images).reshape(images, (count(images), -1))


def as_images(name: str, values: Any) -> Array:
    """Vectors (n, d) or images (n, C, H, W), checked, in the same library.

    Lists and whole numbers become floats, numbers (n,) points on a line, and images (n, H, W) have
    one channel.
    """
    values = as_floats(name, values)
    check_array(name, values)
    if not 1 <= values.ndim <= 4 or 0 in values.shape:
        raise ValueError(
            f"{name} must have shape (n, d), (n, H, W) or (n, C, H, W) and not be empty, "
            f"got {shape(values)}"
        )
    check_finite(name, values)
    largest = float(namespace(values).max(namespace(values).abs(values)))
    if largest > _LARGEST:
        raise ValueError(
            f"{name} must be at most {_LARGEST:.2g} in size, so that squares of distances are "
            f"finite, got {largest:.2g}"
        )
    images: Array = values[:, None, ...] if values.ndim in (1, 3) else values
    return images


def points_together(**named: Any) -> tuple[Array, ...]:
    """Sets of points of one dimension, in one library, on one device."""
    points = {name: as_points(name, values) for name, values in all_as_floats(**named).items()}
    (first, x), *others = points.items()
    for name, y in others:
        check_together(first, x, name, y)
        if x.shape[1] != y.shape[1]:
            raise ValueError(
                f"{first} and {name} must have one dimension, got {x.shape[1]} and {y.shape[1]}"
            )
    return tuple(points.values())


def as_features(features_x: Any, features_y: Any) -> tuple[Array, Array]:
    """Two sets of at least two points each, at the widest precision."""
    x, y = map(wide, points_together(features_x=features_x, features_y=features_y))
    for name, features in (("features_x", x), ("features_y", y)):
        if count(features) < 2:
            raise ValueError(f"{name} must have at least two rows, got {count(features)}")
    return x, y


def wide(array: Array) -> Array:
    """The array in float64, or float32 where the device or the library has no wider type."""
    return namespace(array).astype(array, widest_dtypes(array)[0])


def distance_blocks(x: Array, y: Array) -> Iterator[tuple[slice, Array]]:
    """Rows of the distances (n, m), a block at a time, each from differences.

    A Gram matrix would be faster and would lose the near pairs, which copies are.
    """
    xp = namespace(x)
    numpy = library_of(x) == "numpy"
    bytes_a_row = count(y) * 8 * (1 if numpy else 1 + x.shape[1])
    rows = max(1, BYTES // bytes_a_row)
    for start in range(0, count(x), rows):
        block = slice(start, min(start + rows, count(x)))
        if numpy:
            from scipy.spatial.distance import cdist

            yield block, cdist(x[block], y)
        else:
            difference = x[block, None, :] - y[None, :, :]  # (rows, m, d)
            yield block, xp.sqrt(xp.sum(difference * difference, axis=2))


def count(array: Array) -> int:
    """Length of the first axis; the array API knows no len()."""
    return int(array.shape[0])


def host(name: str, values: Any) -> Floats:
    """Numbers as floats, checked, in NumPy."""
    values = as_floats(name, values)
    check_array(name, values)
    return to_host(values)
