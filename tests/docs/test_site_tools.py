"""What builds the site says clearly what is wrong."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _documentation import TOP

pytestmark = pytest.mark.site

RESULTS = TOP / "benchmarks" / "results"
TUTORIAL = """# %% [markdown]
# # A trial
#
# What it does. And more.

# %%
print(1 + 1)
{cell}
"""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(TOP / "docs" / "_tools")
    import docstrings
    import figures
    import formulas
    import pages
    import results
    import tutorials

    monkeypatch.setattr(tutorials, "_CACHE", tmp_path / "kept")
    monkeypatch.setattr(figures, "CACHE", tmp_path / "kept")
    modules = (docstrings, figures, formulas, pages, results, tutorials)
    yield SimpleNamespace(**{module.__name__: module for module in modules})
    for name in (*(module.__name__ for module in modules), "kept"):
        sys.modules.pop(name, None)


def page_of(tools: Any, content: str) -> str:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
    return tools.formulas.on_page_content(content, page=page, config=None, files=None)


def test_a_formula_that_cannot_be_read_ends_the_build(tools: Any) -> None:
    from mkdocs.exceptions import PluginError

    with pytest.raises(PluginError, match=r"page\.md: the formula .*\\nosuch"):
        page_of(tools, r'<span class="arithmatex">\(\nosuch{x}\)</span>')


def test_formulas_become_mathml(tools: Any) -> None:
    inline = page_of(tools, r'<span class="arithmatex">\(a = b &lt; c\)</span>')
    assert inline.count("<math") == 3  # the line may break after each relation
    assert inline.count("<wbr>") == 2
    assert "<math" in page_of(tools, r'<div class="arithmatex">\[\int f&#39;\]</div>')
    assert "arithmatex" not in inline


def test_a_tutorial_is_a_page_and_is_kept(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "01_trial.py"
    script.write_text(TUTORIAL.format(cell="object()"))
    before = set(TOP.iterdir())
    made = tools.tutorials._made(script)
    assert set(TOP.iterdir()) == before  # no sockets of the kernel
    assert "\n2\n" in made["01_trial.md"].decode()
    assert "object at" not in made["01_trial.md"].decode()
    monkeypatch.setattr(tools.tutorials, "_execute", None)  # must not be called again
    assert tools.tutorials._made(script) == made


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 / 0", r"01_trial\.py: cell 2, which begins 'print\(1 \+ 1\)', raised Zero"),
        (
            "from IPython.display import SVG\nSVG('<svg></svg>')",
            r'01_trial\.py: cell 2 draws a picture and needs # %% alt="\.\.\."',
        ),
    ],
)
def test_what_is_wrong_in_a_tutorial_is_named(
    tools: Any, tmp_path: Path, cell: str, message: str
) -> None:
    from mkdocs.exceptions import PluginError

    script = tmp_path / "01_trial.py"
    script.write_text(TUTORIAL.format(cell=cell))
    with pytest.raises(PluginError, match=message):
        tools.tutorials._made(script)


def test_folders_in_the_navigation_stand_for_their_pages(tools: Any) -> None:
    pages = ["a/index.md", "a/one.md", "a/two.md", "b.md"]
    found = tools.pages._expanded(["b.md", {"A": "a/"}, {"B": ["b.md", "a/"]}], pages)
    assert found == ["b.md", {"A": pages[:3]}, {"B": ["b.md", *pages[:3]]}]


def test_docstrings_are_shown_as_they_are_written(tools: Any) -> None:
    import griffe

    text = """A sum :math:`x + y`.

::

    [noise]

.. math:: x
          + y

>>> 1 + 1  # doctest: +SKIP
2

Parameters
----------
x, y : arrays (N, d) and (M, d)
    Points.
"""
    function = griffe.Function("f", docstring=griffe.Docstring(text, parser="numpy"))
    function.docstring.parent = function
    tools.docstrings.Docstrings().on_object(obj=function)
    said, parameters = function.docstring.parsed
    assert (
        said.value
        == "A sum $x + y$.\n\n\n    [noise]\n\n$$\nx + y\n$$\n\n```pycon\n>>> 1 + 1\n2\n```"
    )
    (both,) = parameters.value
    assert (both.name, both.annotation) == ("x, y", "arrays (N, d) and (M, d)")


def test_a_figure_is_drawn_once(tools: Any, tmp_path: Path) -> None:
    script = tmp_path / "trial.py"
    script.write_text("import sys, pathlib\npathlib.Path(sys.argv[1]).write_text('<svg/>')")
    kept = tmp_path / "kept" / "figures"
    assert tools.figures._drawn(script) == "<svg/>"
    (drawn,) = kept.iterdir()
    drawn.write_text("kept")
    assert tools.figures._drawn(script) == "kept"
    script.write_text(script.read_text() + "\n")
    assert tools.figures._drawn(script) == "<svg/>"
    assert len(list(kept.iterdir())) == 1


def test_a_figure_that_fails_ends_the_build(tools: Any, tmp_path: Path) -> None:
    from mkdocs.exceptions import PluginError

    script = tmp_path / "trial.py"
    script.write_text("1 / 0")
    with pytest.raises(PluginError, match=r"(?s)trial\.py failed:.*ZeroDivisionError"):
        tools.figures._drawn(script)


def test_a_figure_leads_to_its_file(tools: Any) -> None:
    text = "a\n\n![Two clouds](../figures/slices.svg)\n\n![no](../other/slices.svg)"
    shown = tools.figures.on_page_markdown(text, page=None, config=None, files=None)
    assert "[![Two clouds](../figures/slices.svg)](../figures/slices.svg)" in shown
    assert "\n![no](../other/slices.svg)" in shown


@pytest.fixture
def page_of_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The page of a table, made by the tool that has the name of a folder of the project."""
    monkeypatch.syspath_prepend(TOP / "docs" / "_tools")
    path = TOP / "docs" / "_tools" / "benchmarks.py"
    spec = importlib.util.spec_from_file_location("_benchmarks_tool", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "_RESULTS", tmp_path)
    (tmp_path / "captions.toml").write_text('trial = "A line that falls"')

    def made(record: str, picture: str) -> str:
        (tmp_path / "trial.md").write_text(f"# Trial\n\n{record}\n\n## Numbers\n")
        return tool._page("trial", [Path(picture)])

    yield made
    sys.modules.pop("kept", None)


def test_results_say_how_they_were_made_and_what_pictures_show(page_of_results: Any) -> None:
    from mkdocs.exceptions import PluginError

    page = page_of_results("- command: python -m benchmarks trial --seed 1", "trial.svg")
    assert "Made by `python -m benchmarks trial`, last by `python -m benchmarks trial --s" in page
    assert "[![A line that falls](trial.svg)](trial.svg)" in page
    page = page_of_results("- command: python -m benchmarks trial", "trial.svg")
    assert "Made by `python -m benchmarks trial`.\n" in page
    page = page_of_results("- command: python -m tests.trial one --quick", "trial.svg")
    assert "Made by `python -m tests.trial`, last by" in page
    with pytest.raises(PluginError, match=r"captions\.toml must say what trial_two\.png shows"):
        page_of_results("- command: python -m benchmarks trial", "trial_two.png")
    with pytest.raises(PluginError, match=r"trial\.md: .* must have `- command: \.\.\.`"):
        page_of_results("- seed: 1", "trial.svg")


def test_tables_of_results_are_put_in(tools: Any) -> None:
    from mkdocs.exceptions import PluginError

    def shown(text: str) -> str:
        page = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))
        return tools.results.on_page_markdown(text, page=page, config=None, files=None)

    table = shown("a\n\n<!-- table: directions.md, Error of sliced norms -->\n\nb")
    assert table.startswith("a\n\n| method | ")
    assert "<!--" not in table
    assert "##" not in table
    with pytest.raises(PluginError, match=r"page\.md: no table for .*Nothing"):
        shown("<!-- table: directions.md, Nothing -->")
    with pytest.raises(PluginError, match=r"page\.md: no table for .*nosuch"):
        shown("<!-- table: nosuch.md, Nothing -->")
    for mark in ("<!-- table : directions.md, Error -->", "<!--results-->", "<!-- tutorial -->"):
        with pytest.raises(PluginError, match=f"nothing stands for {mark}"):
            shown(mark)
    assert (
        shown("<!-- results --> <!-- not run: why -->") == "<!-- results --> <!-- not run: why -->"
    )


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_commands_of_results_name_no_folder_of_one_machine(path: Path) -> None:
    (command,) = re.findall(r"^- command: (.*)$", path.read_text(), re.M)
    assert not re.search(r"[\s=]/", command)
