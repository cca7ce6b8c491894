"""Commands whose options are the parameters of a function, with help from its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from rich.markup import escape

F = TypeVar("F", bound=Callable[..., Any])

Count = Annotated[int, typer.Option(min=1)]
OptionalCount = Annotated[int | None, typer.Option(min=1)]
Slicing = Annotated[
    Literal["auto", "iid", "orthogonal", "sobol", "equispaced", "distance", "hadamard"],
    typer.Option(help="How directions are drawn."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Device = Annotated[
    str | None, typer.Option(help="Where to compute: cpu, cuda, ...", show_default="cuda, or cpu")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="Folder of a trained model.")]


def command(group: typer.Typer, name: str | None = None, **how: Any) -> Callable[[F], F]:
    """A decorator: add a function to the commands of a group.

    Its parameters are options, but for those that are a `typer.Argument`; the help of each is what
    the docstring says of it, in numpydoc's format.
    """

    def add(function: F) -> F:
        summary, texts = describe(function.__doc__, "Parameters")
        signature = inspect.signature(function, eval_str=True)
        parameters = [_option(p, texts.get(p.name)) for p in signature.parameters.values()]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        group.command(name, **{"help": summary} | how)(function)
        return function

    return add


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the command line gives a parameter, rather than its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def describe(docstring: str | None, section: str) -> tuple[str, dict[str, str]]:
    """The text before the sections of a docstring, and what one section says of each name."""
    summary, *sections = re.split(
        r"^(\w+)\n-{3,}\n", inspect.cleandoc(docstring or ""), flags=re.MULTILINE
    )
    entries = dict(zip(sections[::2], sections[1::2], strict=True)).get(section, "")
    texts: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", entries):
        names, _, text = entry.partition("\n")
        plain = " ".join(text.replace("`", "").replace("\\|", "|").split())
        texts |= {name.strip(): plain for name in names.partition(" : ")[0].split(",")}
    return summary, texts


def _option(parameter: inspect.Parameter, text: str | None) -> inspect.Parameter:
    """The parameter, annotated as an option that has the text for its help."""
    kind, info = parameter.annotation, typer.Option()
    if kind is typer.Context:
        return parameter
    if get_origin(kind) is Annotated:
        kind, info = get_args(kind)
    info = copy(info)  # which other commands share
    info.help = info.help if text is None else escape(text)
    return parameter.replace(annotation=Annotated[kind, info])
