"""The `energyflow` command: run it, and turn what goes wrong into one line and an exit status."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NoReturn

from energyflow_backends import lost

from . import EnergyflowError
from ._core.extras import has
from ._core.memory import is_out_of_memory

NEEDED = ("typer", "rich")
EXPECTED = (EnergyflowError, ValueError, TypeError, OSError, ImportError)
LOST = (
    "another process was lost, or did not answer in time (ENERGYFLOW_TIMEOUT, in seconds); "
    "--resume continues from what was saved"
)
HOW_TO_INSTALL = "pip install -e '.[cli]'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (those of the process when not given), then exit.

    The exit status is 0, 1 for an error, 2 for a mistake in the command, 130 for an interrupt.
    Under `python -X dev` errors keep their traceback.
    """
    missing = [name for name in NEEDED if not has(name)]
    if missing:
        _leave(f"the command line needs {' and '.join(missing)}: {HOW_TO_INSTALL}", 1)

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(given or ["--help"])
    except KeyboardInterrupt as error:
        _leave(": ".join(["interrupted", *map(str, error.args)]), 130)
    except (*EXPECTED, MemoryError, RuntimeError) as error:
        if sys.flags.dev_mode or (message := _message(error)) is None:
            raise
        if lost(error):
            _print_error(message)
            os._exit(1)  # torch's threads may still wait, and an exit that ends them may abort
        _leave(message, 1)
    if status == 130:
        _leave("interrupted", status)
    sys.exit(status)


def _run(arguments: list[str]) -> Any:
    from typer import TyperException

    from ._cli import app

    try:
        with _only_first_prints(), _warnings_in_one_line():
            return app(arguments, prog_name="energyflow", standalone_mode=False)
    except TyperException as error:
        _leave(error.format_message(), error.exit_code)


@contextmanager
def _only_first_prints() -> Iterator[None]:
    """Of several processes of torchrun only the first one prints, but for errors."""
    if _process() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print what is warned of, without the line of the library that warns."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print("energyflow: warning:", *str(message).split(), file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _process() -> int:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return int(os.environ.get("RANK", "0")) if several else 0


def _message(error: BaseException) -> str | None:
    """What went wrong, for errors that are expected; None for others."""
    if is_out_of_memory(error):
        return f"out of memory: {_describe(error)}"
    if lost(error):
        return LOST
    return _describe(error) if isinstance(error, EXPECTED) else None


def _describe(error: BaseException) -> str:
    """The message of an error, and the notes on it, in one line."""
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    return " ".join(" ".join([message, *getattr(error, "__notes__", ())]).split())


def _print_error(message: str) -> None:
    process = _process()
    where = f"process {process}: " if process else ""
    print(f"energyflow: {where}{message}", file=sys.stderr, flush=True)


def _leave(message: str, status: int) -> NoReturn:
    _print_error(message)
    sys.exit(status)
