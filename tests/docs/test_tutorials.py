"""Tutorials by their text; the site's build runs them."""

import ast
import re
from pathlib import Path

import pytest
from _documentation import SITE, TOP

jupytext = pytest.importorskip("jupytext", reason="jupytext reads tutorials: pip group docs")

FOLDER = TOP / "docs" / "tutorials"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request) -> Path:
    return request.param


@pytest.mark.site
def test_its_page_shows_what_came_out(script: Path) -> None:
    page = (SITE / "tutorials" / script.stem / "index.html").read_text()
    wanted = sum("alt" in cell.metadata for cell in jupytext.read(script).cells)
    drawn = set(re.findall(rf'src="({script.stem}_\d+\.\w+)"', page.replace('"../', '"')))
    assert len(drawn) >= max(wanted, 1), "not run: build with `make docs`, without EXECUTE=0"
    assert 'class="output highlight"' in page


def tree(script: Path) -> ast.Module:
    return ast.parse(script.read_text(), script.name)


def test_there_are_tutorials() -> None:
    assert SCRIPTS
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in SCRIPTS)


def test_it_begins_with_a_title_and_has_text_and_code(script: Path) -> None:
    cells = jupytext.read(script).cells
    assert cells[0].cell_type == "markdown"
    assert re.match(r"# \S", cells[0].source)
    titles = [line for cell in cells if cell.cell_type == "markdown" for line in headings(cell, 1)]
    assert len(titles) == 1
    assert all(cell.source.strip() for cell in cells)


def headings(cell, level: int) -> list[str]:
    return re.findall(rf"^#{{{level}}} .*$", cell.source, flags=re.M)


def test_every_picture_has_alternative_text(script: Path) -> None:
    for cell in jupytext.read(script).cells:
        if cell.cell_type == "code" and re.search(r"plt\.show\(\)|^draw\(", cell.source, re.M):
            assert len(cell.metadata.get("alt", "")) > 20, cell.source


def test_its_claims_are_asserted(script: Path) -> None:
    claims = [node for node in ast.walk(tree(script)) if isinstance(node, ast.Assert)]
    assert claims
    assert not any(isinstance(claim.test, ast.Constant) for claim in claims)


def test_it_holds_no_outputs_and_no_magics(script: Path) -> None:
    notebook = jupytext.read(script)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert not re.search(r"^(# )?[%!]\w", script.read_text(), flags=re.M)


def test_it_uses_public_names_only(script: Path) -> None:
    for node in ast.walk(tree(script)):
        if isinstance(node, ast.Attribute):
            assert not re.match(r"_(?!_)", node.attr), node.attr
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not any(re.search(r"(^|\.)_", name) for name in names), names
