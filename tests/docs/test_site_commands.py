"""Commands that the README and the documentation show exist, with their options."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from _documentation import TEXTS, TOP, blocks, name

typer = pytest.importorskip("typer")

from energyflow import (  # noqa: E402, F401 - commands join the others
    _cli_energy_test,
    _cli_evaluate,
    _cli_posterior,
    _cli_train,
)
from energyflow._cli import app  # noqa: E402

SHELL = [path for path in TEXTS if blocks(path, "sh")]
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (TOP / "Makefile").read_text(), re.MULTILINE))


def check_energyflow(words: list[str]) -> None:
    """Parse the words of a command as typer does, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="energyflow")
    while hasattr(command, "commands"):
        assert words, "a command is missing"
        command = command.commands[words.pop(0)]
        context = command.context_class(command, parent=context)
    if "..." not in words:
        command.parse_args(context, words)


def check(line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables before the command
        del words[0]
    if not words:
        return
    first, *rest = words
    if rest[:1] == ["-X"]:
        rest = rest[2:]
    if first.endswith("energyflow"):
        check_energyflow(rest)
    elif first.endswith("python") and rest[:2] == ["-m", "energyflow"]:
        check_energyflow(rest[2:])
    elif first == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, line
    elif re.search(r"python3?$", first) and rest[0] == "-m":
        assert find_spec(rest[1]) is not None, line
    elif re.search(r"python3?$", first) and "/" in rest[0]:  # others are the reader's own
        assert (TOP / rest[0]).exists(), line


@pytest.mark.parametrize("path", SHELL, ids=name)
def test_commands_exist_with_their_options(path: Path) -> None:
    for block in blocks(path, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            try:
                check(line)
            except (KeyError, typer.TyperException) as error:
                pytest.fail(f"{name(path)}, line {block.line}: {line!r}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "energyflow nothing",
        "energyflow distance x.npy",
        "energyflow distance x.npy y.npy --exakt",
        "energyflow train flow --data digits --out runs/digits --condition",
        "make nothing",
        "python -m benchmarks.nothing",
    ],
)
def test_wrong_commands_are_found(line: str) -> None:
    with pytest.raises((AssertionError, KeyError, typer.TyperException)):
        check(line)
