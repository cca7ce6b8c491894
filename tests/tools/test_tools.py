"""The tools for releases: locks, lowest versions, audits."""

from __future__ import annotations

import json
import subprocess

import pytest
from packaging.requirements import Requirement

from tools import audit, lock, lowest, requirements


def test_lowest_versions_are_the_bounds() -> None:
    found = lowest.lowest(["cli"])
    assert found == sorted(found)
    for line, bound in zip(found, sorted(map(str, requirements.required(["cli"]))), strict=True):
        assert line == bound.replace(">=", "==")


def test_extras_of_extras_are_followed() -> None:
    names = {r.name for r in requirements.required(["all"])}
    assert {"numpy", "numba", "torch", "jax", "typer", "matplotlib"} <= names
    assert "energyflow-mmd" not in names


def test_the_lock_follows_what_is_installed() -> None:
    found = lock.closure([Requirement("pytest")])
    assert {"pytest", "pluggy", "iniconfig"} <= found.keys()
    assert all(lock.pinned()[name].specifier.contains(v) for name, v in found.items())
    with pytest.raises(SystemExit, match="no-such-package is not installed"):
        lock.closure([Requirement("no-such-package")])


def audited(entries: list | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command, **how):
        if entries is not None:
            command[command.index("--output") + 1].write_text(json.dumps({"dependencies": entries}))
        return subprocess.CompletedProcess(command, 1, "", "no route to host")

    monkeypatch.setattr(audit.subprocess, "run", run)
    audit.main()


CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
BAD = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


def test_an_audit_that_saw_nothing_is_no_clean_one(monkeypatch, capsys) -> None:
    audited([CLEAN, CLEAN], monkeypatch)
    assert capsys.readouterr().out == "2 pinned versions, no known vulnerability\n"
    for entries, message in (
        (None, "nothing was audited, .* no route to host"),
        ([SKIPPED, SKIPPED], "nothing was audited, .* not found"),
        ([CLEAN, SKIPPED], "not audited: b"),
        ([CLEAN, BAD], "1"),
    ):
        with pytest.raises(SystemExit, match=message):
            audited(entries, monkeypatch)
    assert capsys.readouterr().out == "c 1: PYSEC-1, fixed in 2\n"
