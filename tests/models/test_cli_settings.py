"""The options of `energyflow train` are the fields of the settings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

typer = pytest.importorskip("typer", reason="the command line is an extra")
pytest.importorskip("rich", reason="the command line is an extra")

from energyflow._cli import app  # noqa: E402
from energyflow._cli.settings import field_help  # noqa: E402
from energyflow.cli import main  # noqa: E402
from energyflow.models import MODELS  # noqa: E402

COMMANDS = {**{name: name for name in MODELS}, "posterior": "flow"}
ALIASES = {
    "flow": {"--blocks", "--particles", "-n", "--projections", "--steps"},
    "flow-matching": {"--coupling", "--beta", "--steps", "--batch"},
    "dmmd": {"--steps", "--kernel"},
    "posterior": {
        "--blocks", "--particles", "-n", "--projections", "--steps", "--condition-weight",
        "--start",
    },
}  # fmt: skip


def options(command: str) -> dict[str, object]:
    """The options of a command of `energyflow train`, by the names of their parameters."""
    train = typer.main.get_command(app).commands["train"]
    found = train.commands[command]
    context = found.context_class(found, info_name=command)
    return {parameter.name: parameter for parameter in found.get_params(context)}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_setting_is_an_option_with_its_help_and_default(command: str) -> None:
    settings = MODELS[COMMANDS[command]].presets["default"].settings
    there, texts = options(command), field_help(type(settings))
    for field in fields(settings):
        option = there[field.name]
        assert len(texts[field.name]) > 5, f"{field.name} is not described"
        if field.name == "seed":
            continue
        assert option.help.replace("\\", "") == texts[field.name].replace("\\", "")
        if isinstance(default := getattr(settings, field.name), int | float | str):
            assert option.default in (default, str(default))
    names = {name for option in there.values() for name in option.opts}
    assert names >= ALIASES[command] | {"--preset", "--data", "--out", "--budget", "--resume"}


@pytest.fixture
def settings(capsys, tmp_path, monkeypatch):
    """Train for a moment; give the settings that the run's folder holds, or what is printed."""
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=np.random.default_rng(0).random((30, 3)))

    def settings(*arguments: str):
        with pytest.raises(SystemExit) as exit_:
            main(["train", *arguments, "--data", "data.npz", "--out", "run", "--quiet"])
        if exit_.value.code:
            return capsys.readouterr().err
        return json.loads((tmp_path / "run" / "settings.json").read_text())

    return settings


FAST = ("--n-blocks", "1", "--n-particles", "40", "--n-projections", "4", "--steps", "5")


def test_settings_of_all_types(settings) -> None:
    found = settings(
        "flow", *FAST, "--carry-velocity", "--particles-from", "flow", "--condition-weight", "2.5",
        "--step-size", "0.25", "--architecture", '{"kind": "MLP", "width": 8, "depth": 1}',
    )  # fmt: skip
    assert (found["n_blocks"], found["n_steps"]) == (1, 5)
    assert (found["carry_velocity"], found["particles"]) == (True, "flow")
    assert (found["condition_weight"], found["step_size"]) == (2.5, 0.25)
    assert found["architecture"] == {"kind": "MLP", "width": 8, "depth": 1, "frequencies": 0}
    assert found["step_decay"] == 1.0  # of the preset toy, which suits vectors


def test_numbers_with_commas_between(settings) -> None:
    found = settings("dmmd", "--steps", "2", "--kernel", "rbf", "--bandwidths", "0.5,2")
    assert found["bandwidths"] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n-blocks", "0"), "n_blocks must be at least 1, got 0"),
        (("--n-blocks", "many"), "--n-blocks"),
        (("--loss", "l3"), "--loss"),
        (("--condition-weight", "much"), "condition_weight must be one of auto"),
        (("--architecture", '{"kind": "MLP"'), "--architecture"),
        (("--architecture", '{"kind": "CNN"}'), "kind must be one of MLP, UNet"),
        (("--preset", "none"), "preset must be one of default, digits"),
    ],
)
def test_wrong_settings_are_named(settings, arguments, message: str) -> None:
    assert message in settings("flow", *arguments)


def test_help_of_other_commands_imports_no_torch() -> None:
    code = (
        "import sys; from energyflow.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    for command in ([], ["train"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.endswith("False\n")
