"""A page for each table of results in benchmarks/results, with its pictures and numbers."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# files that another family's run writes along with its own
_ALONG = {"scaling": "cpu", "conditional_wasserstein": "flow_matching"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages, the pictures and the numbers."""
    families = {path.stem: [path] for path in sorted(_RESULTS.glob("*.md"))}
    for path in sorted(_RESULTS.glob("*")):
        if path.suffix in (".csv", ".png", ".svg"):
            families[_family(path, families)].append(path)
    for name, paths in families.items():
        page, *others = paths
        files.append(File.generated(config, f"benchmarks/{name}.md", content=_page(page, others)))
        for path in others:
            files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    return files


def _family(path: Path, families: dict[str, list[Path]]) -> str:
    """The longest name of a table that the file's name begins with."""
    fitting = [name for name in families if re.match(rf"{re.escape(name)}(?![a-z0-9])", path.stem)]
    if path.stem in _ALONG:
        return _ALONG[path.stem]
    if not fitting:
        raise PluginError(f"{path}: no table of this name, {path.stem}.md, stands beside it")
    return max(fitting, key=len)


def _page(page: Path, others: list[Path]) -> str:
    text = page.read_text()
    title = text.splitlines()[0].lstrip("# ")
    pictures = [path for path in others if path.suffix != ".csv"]
    numbers = [path for path in others if path.suffix == ".csv"]
    if pictures:
        shown = [f"![{title}: {_words(path)}]({path.name})" for path in pictures]
        text += "\n\n## Pictures\n\n" + "\n\n".join(shown)
    if numbers:
        links = ", ".join(f"[{path.name}]({path.name})" for path in numbers)
        text += f"\n\nThe numbers: {links}.\n"
    return text


def _words(path: Path) -> str:
    return path.stem.replace("_", " ").replace("-", " ")
