"""What tests of the documentation share. They look at the built site: `make site-test`."""

from __future__ import annotations

from pathlib import Path

import pytest
from _documentation import SITE


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}: run `make docs`")
    return SITE
