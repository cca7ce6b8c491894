"""Blocks of Python in the README and the documentation run, page by page.

The blocks of a page run in order, in one namespace and in an empty folder. A block that is not run
here (it trains for an hour, needs a GPU or a file) comes after a comment that says why,
`<!-- not run: needs a GPU -->`, and must still compile.
"""

from __future__ import annotations

import json
import sys
import tomllib
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _documentation import TEXTS, blocks, has_other_fences, name

PYTHON = [path for path in TEXTS if blocks(path, "python")]
RUN = SimpleNamespace(log=lambda losses, step: None, finish=lambda: None)
WANDB: Any = SimpleNamespace(  # for those who have no account
    init=lambda project: RUN, __spec__=ModuleSpec("wandb", None)
)
FORMATS = {"toml": tomllib.loads, "json": json.loads}


@pytest.mark.site
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_blocks_of_python_run(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setitem(sys.modules, "wandb", WANDB)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(path, "python"):
        padded = "\n" * block.line + block.code  # tracebacks show the line of the page
        code = compile(padded, str(path), "exec")
        if block.not_run is None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                exec(code, namespace)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_block_is_closed_and_names_its_language(path: Path) -> None:
    assert not has_other_fences(path)
    assert {block.language for block in blocks(path)} <= {"python", "sh", *FORMATS}


def test_blocks_inside_others_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "!!! note\n\n    <!-- not run: why -->\n\n    ```python\n    if 1:\n\n        x\n    ```\n"
        '=== "tab"\n\n    ```python\n    y\n    ```\n'
    )
    found = [(block.line, block.code, block.not_run) for block in blocks(page, "python")]
    assert found == [(5, "if 1:\n\n    x\n", "why"), (12, "y\n", None)]
    assert not has_other_fences(page)
    for unclosed in (
        "    ```\n    x\n    ```\n",
        "~~~python\nx\n~~~\n",
        "> ```python\n> x\n> ```\n",
    ):
        page.write_text(unclosed)
        assert has_other_fences(page), unclosed


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_blocks_of_data_can_be_read(path: Path) -> None:
    for block in blocks(path, *FORMATS):
        FORMATS[block.language](block.code)
