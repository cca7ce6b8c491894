"""Figures are drawn by the scripts in docs/figures; pages show them as figures/<name>.svg."""

import re
import subprocess
import sys
from pathlib import Path

from kept import CACHE, TOP, digest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_SCRIPTS = TOP / "docs" / "figures"
_FIGURE = re.compile(r"^!\[[^\]]*\]\((?P<file>(?:\.\./)*figures/\w+\.svg)\)", re.M)
_SHARED = (_SCRIPTS / "_canvas.py", TOP / "docs" / "_tools" / "matplotlibrc")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the figures."""
    for script in sorted(_SCRIPTS.glob("[a-z]*.py")):
        uri = f"figures/{script.stem}.svg"
        files.append(File.generated(config, uri, content=_drawn(script)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let each figure lead to its file, where small screens can look closer."""
    return _FIGURE.sub(r"[\g<0>](\g<file>)", markdown)


def _drawn(script: Path) -> str:
    """The figure of a script: the kept one, or by running it."""
    kept = CACHE / "figures" / f"{script.stem}-{digest(script, *_SHARED)[:16]}.svg"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob(f"{script.stem}-*"):
            old.unlink()
        made = kept.with_suffix(".new")
        done = subprocess.run(
            [sys.executable, script, made], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PluginError(f"{script.name} failed:\n{done.stderr}")
        made.rename(kept)
    return kept.read_text()
