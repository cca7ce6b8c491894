"""A page for each table of results in benchmarks/results, with its pictures and numbers."""

import re
import tomllib
from pathlib import Path

from kept import TOP
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_RESULTS = TOP / "benchmarks" / "results"
# files that another family's run writes along with its own
_ALONG = {"scaling": "cpu", "conditional_wasserstein": "flow_matching"}
_HEAD = re.compile(r"# (?P<title>.+)\n\n(?P<record>(?:- [^\n]+\n)+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages, the pictures and the numbers."""
    for name, paths in _families().items():
        text = _page(name, paths)
        files.append(File.generated(config, f"benchmarks/{name}.md", content=text))
        for path in paths:
            uri = f"benchmarks/{path.name}"
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """List the pages where `<!-- results -->` stands."""
    listed = [f"- [{_title(name)}]({name}.md)" for name in _families()]
    return markdown.replace("<!-- results -->", "\n".join(listed))


def _families() -> dict[str, list[Path]]:
    """The pictures and the numbers that belong to each table, by the table's name."""
    families: dict[str, list[Path]] = {path.stem: [] for path in sorted(_RESULTS.glob("*.md"))}
    for path in sorted(_RESULTS.glob("*")):
        if path.suffix in (".csv", ".png", ".svg"):
            name = _ALONG.get(path.stem) or max(
                (name for name in families if re.match(rf"{name}(?![a-z0-9])", path.stem)),
                key=len,
                default="",
            )
            if name not in families:
                raise PluginError(f"no table, {path.stem}.md, stands beside {path}")
            families[name].append(path)
    return families


def _title(name: str) -> str:
    title = (_RESULTS / f"{name}.md").read_text().splitlines()[0].removeprefix("# ")
    return f"{title}, {name.partition('-')[2]}" if "-" in name else title


def _page(name: str, paths: list[Path]) -> str:
    """The table's page: how to make it again first, then all numbers, then what they look like."""
    text = (_RESULTS / f"{name}.md").read_text()
    head = _HEAD.match(text)
    if head is None:
        raise PluginError(f"{name}.md: a heading and a list of what was run must come first")
    record = dict(line[2:].split(": ", 1) for line in head["record"].splitlines())
    last = record.pop("command", None)
    if last is None:
        raise PluginError(f"{name}.md: the list of what was run must have `- command: ...`")
    again = (
        "make bench" if name == "cpu" else re.sub(r"(-m (?:benchmarks )?[\w.-]+).*", r"\1", last)
    )
    captions = tomllib.loads((_RESULTS / "captions.toml").read_text())
    made = f"Made by `{again}`." if again == last else f"Made by `{again}`, last by `{last}`."
    parts = [
        f"# {_title(name)}",
        made,
        '??? note "Machine and versions"',
        *(f"    - {key}: {value}" for key, value in record.items()),
        text[head.end() :].strip(),
    ]
    pictures = [path for path in paths if path.suffix != ".csv"]
    numbers = [f"[{path.name}]({path.name})" for path in paths if path.suffix == ".csv"]
    if pictures:
        parts.append("## Pictures")
    for path in pictures:
        caption = captions.get(path.stem)
        if not caption:
            raise PluginError(f"captions.toml must say what {path.name} shows: {path.stem} = ...")
        parts.append(f"[![{caption}]({path.name})]({path.name})\n\n{caption}.\n{{ .caption }}")
    if numbers:
        parts.append(f"All numbers: {', '.join(numbers)}.")
    return "\n\n".join(parts) + "\n"
