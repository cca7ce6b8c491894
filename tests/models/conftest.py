"""Models need torch and safetensors, which are extras."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")
