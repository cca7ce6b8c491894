"""The page of the command line, from what `--help` prints."""

import typer
import typer.cli
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from energyflow._cli import app


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page."""
    command = typer.main.get_command(app)
    context = command.context_class(command, info_name="energyflow")
    text = typer.cli.get_docs_for_click(
        obj=command, ctx=context, name="energyflow", title="Command line"
    )
    groups = [command, *(one for one in command.commands.values() if hasattr(one, "commands"))]
    for one in (one for group in groups for one in group.commands.values()):
        # typer cuts the lines of its lists short
        text = text.replace(one.get_short_help_str(), one.get_short_help_str(limit=200))
    files.append(File.generated(config, "api/command-line.md", content=text))
    return files
