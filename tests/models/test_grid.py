"""Sample grids: what is written is what a PNG reader sees."""

from __future__ import annotations

import numpy as np
import pytest

from energyflow.models import save_grid

image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures back")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 5, 9])
def test_pixels_come_back(tmp_path, channels: int, count: int, rng: np.random.Generator) -> None:
    images = rng.random((count, channels, 6, 4))
    save_grid(tmp_path / "grid.png", images, columns=3)
    with image.open(tmp_path / "grid.png") as opened:
        pixels = np.asarray(opened).reshape(*opened.size[::-1], channels)
    zoom = pixels.shape[1] // (3 * 5)
    assert pixels.shape[0] == -(-count // 3) * 7 * zoom
    last = count - 1
    row, column = last // 3 * 7 * zoom, last % 3 * 5 * zoom
    seen = pixels[row : row + 6 * zoom : zoom, column : column + 4 * zoom : zoom]
    np.testing.assert_array_equal(seen, np.rint(images[last].transpose(1, 2, 0) * 255))


def test_numbers_outside_the_range_are_clipped(tmp_path) -> None:
    images = np.array([-1.0, 2.0, np.nan, 0.5]).reshape(4, 1, 1, 1)
    save_grid(tmp_path / "grid.png", images, columns=4)
    with image.open(tmp_path / "grid.png") as opened:
        row = np.asarray(opened)[0]
    zoom = len(row) // 8
    assert row[:: 2 * zoom].tolist() == [0, 255, 0, 128]
