"""Images that the tests observe."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.random((3, 2, 12, 16))
