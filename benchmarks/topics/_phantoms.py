"""Images for posteriors: ellipses for tomography."""

import numpy as np


def ellipses(n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Images (n, 1, side, side) of 3 to 8 ellipses on an ellipse, values 0 to 1, in the circle."""
    places = (np.arange(side) - side // 2) / (side // 2)
    y, x = np.meshgrid(places, places, indexing="ij")

    def ellipse(centre: np.ndarray, axes: np.ndarray, turn: float) -> np.ndarray:
        u = np.cos(turn) * (x - centre[0]) + np.sin(turn) * (y - centre[1])
        v = np.cos(turn) * (y - centre[1]) - np.sin(turn) * (x - centre[0])
        distance = np.sqrt((u / axes[0]) ** 2 + (v / axes[1]) ** 2)
        return 1 / (1 + np.exp(np.clip((distance - 1) * axes.min() * side, -30, 30)))

    images = np.empty((n, 1, side, side), np.float32)
    for image in images:
        body = ellipse(rng.normal(0, 0.05, 2), rng.uniform(0.55, 0.8, 2), rng.uniform(0, np.pi))
        content = 0.4 * body
        for _ in range(rng.integers(3, 9)):
            centre, axes = rng.uniform(-0.45, 0.45, 2), rng.uniform(0.06, 0.3, 2)
            part = ellipse(centre, axes, rng.uniform(0, np.pi))
            content += rng.uniform(-0.3, 0.4) * part * body
        image[0] = content.clip(0, 1) * (x**2 + y**2 <= 1)
    return images


def wedge(samples: np.ndarray, missing: float) -> float:
    """Root mean squared sd of Fourier coefficients that no line is across, over that of others.

    The line at angle t and offset s is x cos t - y sin t = s, for columns x and rows y, and sees
    the frequencies along (cos t, -sin t). samples (m, n, 1, side, side).
    """
    side = samples.shape[-1]
    sd = np.fft.fft2(samples[:, :, 0]).std(axis=1)  # (m, side, side)
    power = (sd**2).mean(axis=0)
    k = np.fft.fftfreq(side, 1 / side)
    rows, columns = np.meshgrid(k, k, indexing="ij")
    angle = np.degrees(np.arctan2(-rows, columns)) % 180
    known = (np.hypot(rows, columns) >= 2) & (np.hypot(rows, columns) <= side / 4)
    inside = known & (angle > 180 - missing)
    return float(np.sqrt(power[inside].mean() / power[known & ~inside].mean()))
