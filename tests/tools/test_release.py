"""Versions, pins, formats and promises agree with what they speak of."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import energyflow as ef
from energyflow._core.flow_result import FORMAT as FLOW_FORMAT

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = ROOT / "docs" / "explanation"


def test_one_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    cited = re.search(r"^version: (\S+)$", citation, re.MULTILINE)
    assert cited is not None
    assert ef.__version__ == PROJECT["project"]["version"] == cited[1]


def test_the_citation_can_be_read() -> None:
    """What the Citation File Format 1.2.0 requires, and dates and types as it spells them."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["license"] == PROJECT["project"]["license"]
    assert cited["title"].startswith("energyflow: ")
    assert PROJECT["project"]["description"].lower() in cited["title"].lower()
    assert cited["authors"] == PROJECT["project"]["authors"]
    assert str(cited["version"]) == ef.__version__
    for source in cited["references"]:
        assert {"type", "title", "authors", "year"} <= set(source)
        assert all({"family-names", "given-names"} == set(a) for a in source["authors"])
        assert isinstance(source["year"], int)
        assert re.fullmatch(r"https://\S+", source.get("url", "https://x"))
        assert re.fullmatch(r"10\.\d+/\S+", source.get("doi", "10.1/x"))


def test_everything_is_pinned() -> None:
    """Each line names one version, but triton's, which follows the build of torch."""
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x[:1] != "#"]
    loose = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert [re.split("[<>=]", line)[0] for line in loose] == ["triton"]
    pinned = {re.split("[<>=]", line)[0] for line in lines}
    groups = PROJECT["dependency-groups"].values()
    extras = PROJECT["project"]["optional-dependencies"].values()
    for requirement in sum([*groups, *extras], PROJECT["project"]["dependencies"]):
        name = re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-")
        assert name in pinned or name in ("cupy-cuda13x", "energyflow-mmd"), name


def test_formats_are_as_told() -> None:
    from_models = pytest.importorskip(
        "energyflow.models.training.run_folder", reason="torch is an extra", exc_type=ImportError
    )
    page = (PAGES / "stability.md").read_text()
    assert f'`state["format"]`, {FLOW_FORMAT} now' in page
    assert f'`"format"`, {from_models.FORMAT} now' in page


def test_every_promise_has_a_test_that_keeps_it() -> None:
    """Each row of a table ends with the tests, as file::function, that stand behind it."""
    rows = [
        line for line in (PAGES / "promises.md").read_text().splitlines()
        if line.startswith("|") and "---" not in line and "kept by" not in line
    ]  # fmt: skip
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", row.split("|")[-2])
        assert named, row
        for file, function in named:
            assert f"\ndef {function}(" in (ROOT / file).read_text(), f"{file}::{function}"
