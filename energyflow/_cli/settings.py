"""Options from the settings of a model: one for each field, with its help and default.

Settings need torch, so options are made when a command asks for them, not when it is defined: the
help of other commands does not import torch.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape
from typer.core import TyperCommand

from .options import describe, is_given

if TYPE_CHECKING:
    from ..models import Model

_NAMES = {  # of fields whose option has more names, or another one, than that of the field
    "n_blocks": ("--n-blocks", "--blocks"),
    "n_particles": ("--n-particles", "--particles", "-n"),
    "n_projections": ("--n-projections", "--projections"),
    "n_steps": ("--n-steps", "--steps"),
    "batch_size": ("--batch-size", "--batch"),
    "particles": ("--particles-from",),
}
_GIVEN = "energyflow.settings"  # in the context's meta: settings on the command line


class SettingsCommand(TyperCommand):
    """A command that trains a model, with an option for each of the model's settings."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The function's own options, those of the settings, and --help."""
        *own, help_option = super().get_params(ctx)
        return [*own, *_options(model_kind(self.name)), help_option]


def model_kind(command: str | None) -> str:
    """The kind of model that a command trains."""
    return "flow" if command == "posterior" else str(command)


def build_model(context: typer.Context, suited: str, device: str | None, seed: int) -> Model[Any]:
    """The model that the command trains: settings are those of the preset unless they are given.

    suited: the preset where none is given, if the model has it.
    """
    from ..models import MODELS

    maker = MODELS[model_kind(context.command.name)]
    given: dict[str, Any] = dict(context.meta.get(_GIVEN, {}))
    preset = given.pop("preset", suited if suited in maker.presets else "default")
    base = maker(preset=preset, device=device).settings
    settings = base.from_json(base.as_json() | given)
    changes = {name: getattr(settings, name) for name in given}
    model = maker(preset=preset, device=device, seed=seed, **changes)
    if not maker.presets[preset].tested:
        print(f"energyflow: preset {preset}: {maker.presets[preset].note}", file=sys.stderr)
    return model


def field_help(settings: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say of each attribute."""
    texts: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        texts |= describe(base.__doc__, "Attributes")[1]
    return texts


@cache
def _options(kind: str) -> list[Any]:
    """Options for the preset and the settings of a kind of model, but for the seed."""
    from ..models import MODELS

    presets = MODELS[kind].presets
    settings = presets["default"].settings
    hints, texts = get_type_hints(type(settings)), field_help(type(settings))
    names = [field.name for field in fields(settings) if field.name != "seed"]
    preset = _parameter("preset", str | None, None, f"Named settings: {', '.join(presets)}.")

    def command(**settings: Any) -> None: ...

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [preset, *(_parameter(n, hints[n], getattr(settings, n), texts.get(n, "")) for n in names)]
    )
    holder = typer.Typer(add_completion=False)
    holder.command()(command)
    made: Any = typer.main.get_command(holder)
    return list(made.params)


def _parameter(name: str, hint: Any, default: Any, text: str) -> inspect.Parameter:
    """A parameter of which typer makes the option for a field."""
    option_type, parser = _option_type(hint)
    plain = "--" + name.replace("_", "-")
    if option_type is bool:
        plain += f"/--no-{plain[2:]}"
    if parser is not None and default is not None:
        default = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    option = typer.Option(
        *_NAMES.get(name, (plain,)), help=escape(text), callback=_keep, expose_value=False,
        parser=parser, metavar=None if parser is None else "VALUE",
    )  # fmt: skip
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default,
        annotation=Annotated[option_type | None, option],
    )  # fmt: skip


def _keep(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> None:
    """Keep a setting that is given on the command line."""
    if is_given(context, str(parameter.name)):
        context.meta.setdefault(_GIVEN, {})[parameter.name] = value


def _option_type(hint: Any) -> tuple[Any, Callable[[str], Any] | None]:
    """The type of an option for a field, and the parser of its text where typer has none."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind, *others = [kind for kind in kinds if kind is not NoneType]
    if get_origin(kind) is tuple:
        return str, _parse_list
    if others or is_dataclass(kind):  # a union, or nested settings
        return str, _parse_json
    return kind, None


def _parse_list(text: str) -> list[Any]:
    """Numbers with commas between."""
    return list(json.loads(f"[{text.strip('[]')}]"))


def _parse_json(text: str) -> Any:
    """A number, an object of JSON, or a name as it is."""
    try:
        return json.loads(text)
    except ValueError:
        if text.lstrip().startswith("{"):
            raise
        return text
