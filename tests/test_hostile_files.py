"""Damaged and hostile files are read or refused by name, whatever reads them."""

from __future__ import annotations

import json

import pytest
from fuzz.damage import damaged, odd_json
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("safetensors", reason="safetensors is an extra")

SLOW = ("settings-", "weights-", "posterior-", "flow")


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_read(name) -> None:
    target = TARGETS[name]
    assert any(target(content) for content in target.seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name) -> None:
    target = TARGETS[name]

    @settings(max_examples=40 if name.startswith(SLOW) else 150)
    @given(damaged(target.seeds()))
    def read_or_refused(content: bytes) -> None:
        target(content)

    read_or_refused()


@pytest.mark.filterwarnings("ignore:the observation lies outside")  # of another range
@pytest.mark.parametrize("name", [n for n, t in TARGETS.items() if t.name.endswith(".json")])
def test_settings_with_odd_entries(name) -> None:
    target = TARGETS[name]

    @settings(max_examples=150)
    @given(odd_json(target.seeds()))
    def read_or_refused(content: bytes) -> None:
        target(content)

    read_or_refused()


_leaves = st.none() | st.booleans() | st.floats() | st.text(max_size=3)
_documents = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given(_documents)
def test_any_json_is_refused(document) -> None:
    for name in ("problem", "posterior-guess"):
        assert not TARGETS[name](json.dumps(document).encode())
