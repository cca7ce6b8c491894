"""Tutorials are Python scripts in percent format; here each runs and becomes a page.

A page shows the text, the code and what came out of it. A figure needs alternative text, which
stands in the cell's first line: `# %% alt="Particles on three rings"`. What ran is kept in
.cache/tutorials until the script, the packages or their versions change; with EXECUTE=0 in the
environment nothing runs, and a page without kept results shows its code alone.
"""

import base64
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
from kept import CACHE, TOP, digest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_CACHE = CACHE / "tutorials"
_STYLE = Path(__file__).with_name("matplotlibrc")
_PICTURES = {"image/png": "png", "image/gif": "gif", "image/svg+xml": "svg"}
_BEGINNING = re.compile(
    r"# (?P<title>.+)\n\n.+\n\n(?P<about>(?:.|\n)+?[.:?!])(?=\s)"  # the download link in between
)
_MOST = 90  # seconds of CPU time that a tutorial may take
_ADDRESS = re.compile(r" at 0x[0-9a-f]+>")  # of an object that has no better text
_log = get_plugin_logger("tutorials")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page, and its pictures, for each script; the script can be downloaded."""
    scripts = [file for file in files if re.fullmatch(r"tutorials/\w+\.py", file.src_uri)]
    for script in sorted(scripts, key=lambda file: file.src_uri):
        for name, content in _made(Path(str(script.abs_src_path))).items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """List the tutorials, each with its first sentence, where `<!-- tutorials -->` stands."""
    listed = []
    for file in files.documentation_pages():
        text = file.content_string
        if re.fullmatch(r"tutorials/\d+_\w+\.md", file.src_uri) and (
            found := _BEGINNING.match(text)
        ):
            about = " ".join(found["about"].split())
            listed.append(f"- [{found['title']}]({file.name}.md): {about}")
    return markdown.replace("<!-- tutorials -->", "\n".join(sorted(listed)))


def _made(script: Path) -> dict[str, bytes]:
    """The page and the pictures of a script, by file name: kept ones, or by running it."""
    folder = _CACHE / script.stem
    key = digest(script, Path(__file__), _STYLE)
    kept = folder / "key"
    if kept.exists() and kept.read_text() == key:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path != kept}
    notebook = jupytext.read(script)
    if os.environ.get("EXECUTE") == "0":
        return _rendered(script, notebook)
    _execute(script, notebook)
    made = _rendered(script, notebook)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in made.items():
        (folder / name).write_bytes(content)
    kept.write_text(key)
    return made


def _execute(script: Path, notebook: Any) -> None:
    """Run the cells from the top of the repository, as `python docs/tutorials/...` does."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    started, before = time.perf_counter(), os.times()
    # networks here are small: on a busy machine torch's threads would only wait for each other
    env = {"OMP_NUM_THREADS": "1", **os.environ, "MATPLOTLIBRC": str(_STYLE)}
    try:
        with TemporaryDirectory() as sockets:
            client = NotebookClient(
                notebook,
                timeout=600,
                kernel_name="python3",
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
                resources={"metadata": {"path": str(TOP)}},
                coalesce_streams=True,
            )
            client.execute(env=env)
    except CellExecutionError as error:
        number, cell = next(
            (number, cell)
            for number, cell in enumerate(notebook.cells, 1)
            if any(output.output_type == "error" for output in cell.get("outputs", ()))
        )
        raise PluginError(
            f"{script.name}: cell {number}, which begins {cell.source.splitlines()[0]!r}, "
            f"raised {error.ename}: {error.evalue}\n{error.traceback}"
        ) from error
    now = os.times()
    cpu = now.children_user + now.children_system - before.children_user - before.children_system
    seconds = time.perf_counter() - started
    told = _log.info if cpu <= _MOST else _log.warning  # which ends a strict build
    told("%s: %.0f s, %.0f s of CPU time of at most %d", script.name, seconds, cpu, _MOST)


def _rendered(script: Path, notebook: Any) -> dict[str, bytes]:
    """The Markdown page of a notebook, and its pictures."""
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
            for output in cell.get("outputs", ()):
                parts.append(_output(script, number, cell, output, pictures))
    download = f"[:material-download: {script.name}]({script.name}){{ .script }}"
    text = "\n\n".join(part for part in parts if part)
    text, headings = re.subn(r"\A(# .*)$", rf"\1\n\n{download}", text, count=1, flags=re.M)
    if not headings:
        raise PluginError(f"{script.name}: the first cell must be text that begins with a heading")
    return {f"{script.stem}.md": text.encode(), **pictures}


def _output(script: Path, number: int, cell: Any, output: Any, pictures: dict[str, bytes]) -> str:
    """One output of a cell as Markdown; warnings and progress on stderr are left out."""
    if output.output_type == "stream":
        return _fenced(output.text) if output.name == "stdout" else ""
    for kind, suffix in _PICTURES.items():
        if kind in output.data:
            alt = cell.metadata.get("alt")
            if not alt:
                raise PluginError(
                    f'{script.name}: cell {number} draws a picture and needs # %% alt="..."'
                )
            name = f"{script.stem}_{len(pictures) + 1}.{suffix}"
            data = output.data[kind]
            pictures[name] = data.encode() if suffix == "svg" else base64.b64decode(data)
            return f"![{alt}]({name})"
    text = output.data.get("text/plain", "")
    return "" if _ADDRESS.search(text) else _fenced(text)


def _fenced(text: str) -> str:
    return f"```{{ .text .output }}\n{text.rstrip()}\n```" if text.strip() else ""
