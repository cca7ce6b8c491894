"""Commands that the README and the documentation show exist, with their options."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from _documentation import TEXTS, TOP, blocks, name

typer = pytest.importorskip("typer")

from benchmarks.__main__ import TOPICS  # noqa: E402
from energyflow._cli import app  # noqa: E402

SHELL = [path for path in TEXTS if blocks(path, "sh")]
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (TOP / "Makefile").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
OTHERS = {".", "pre-commit", "ruff"}  # whose words are their own


def commands(line: str) -> list[list[str]]:
    """The words of each command of a line, without the variables that are set before it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", "||", "|", ";"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            found[-1].append(word)
    return [words for words in found if words]


def check_energyflow(words: list[str]) -> None:
    """Parse the words of a command as typer does, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="energyflow")
    while hasattr(command, "commands"):
        assert words, "a command is missing"
        command = command.commands[words.pop(0)]
        context = command.context_class(command, parent=context)
    command.parse_args(context, words)


def check_python(words: list[str]) -> None:
    if words[0] == "-X":
        words = words[2:]
    if words[:2] == ["-m", "energyflow"]:
        check_energyflow(words[2:])
    elif words[:2] == ["-m", "benchmarks"]:
        assert words[2] in TOPICS, f"no topic {words[2]}"
        import_module(f"benchmarks.topics.{words[2]}").TOPIC.parser("").parse_args(words[3:])
    elif words[0] == "-m":
        assert find_spec(words[1]) is not None, f"no module {words[1]}"
    else:
        check_script(words[0])


def check_script(path: str) -> None:
    assert path.endswith(".py"), f"{path} is no script"
    assert "/" not in path or (TOP / path).exists(), path  # others are the reader's own


def check_torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    found = get_args_parser().parse_args(words)
    assert not found.module or found.training_script == "energyflow", "another module"
    if found.module:
        check_energyflow(found.training_script_args)
    else:
        check_script(found.training_script)


def check(line: str) -> None:
    """Raise something where a line is not one that a reader can type."""
    for words in commands(line):
        check_command(words)


def check_command(words: list[str]) -> None:
    assert "..." not in words, "commands are shown whole"
    first, *rest = words
    tool = Path(first).name or first
    if tool == "energyflow":
        check_energyflow(rest)
    elif tool in ("python", "python3"):
        check_python(rest)
    elif tool == "torchrun":
        check_torchrun(rest)
    elif tool == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, "no such target"
    elif tool == "pip":
        extras = re.findall(r"\w+", "".join(re.findall(r"\[(.*)\]", " ".join(rest))))
        assert set(extras) <= set(PROJECT["optional-dependencies"]), "no such extra"
    else:
        assert tool in OTHERS, f"unknown command {first}"


@pytest.mark.parametrize("path", SHELL, ids=name)
def test_commands_exist_with_their_options(path: Path) -> None:
    for block in blocks(path, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            try:
                check(line)
            except (AssertionError, LookupError, SystemExit, typer.TyperException) as error:
                pytest.fail(f"{name(path)}, line {block.line}: {line!r}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "energyflow nothing",
        "energyflow distance x.npy",
        "energyflow distance x.npy y.npy --exakt",
        "energyflow train flow --data digits --out runs/digits --condition",
        "energyflow distance x.npy ...",
        "make nothing",
        "python -m benchmarks nothing",
        "python -m benchmarks kale nothing",
        "python -m benchmarks kale --nothing",
        "python benchmarks/nothing.py",
        "python",
        "python3 -m venv .venv && nothing",
        "pip install -e '.[cli,nothing]'",
        "torchrun --nproc-per-node=2 -m energyflow flow --target x.npy --nothing",
        "torchrun --nothing=2 -m energyflow flow --target x.npy --out runs/x",
        "torchrun -m nothing",
        "nothing",
    ],
)
def test_wrong_commands_are_found(line: str) -> None:
    with pytest.raises((AssertionError, LookupError, SystemExit, typer.TyperException)):
        check(line)
