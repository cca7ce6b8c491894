"""The `energyflow` command: run it, and turn what goes wrong into one line and an exit status."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from typing import Any, NoReturn

from energyflow_backends import lost

from . import EnergyflowError
from ._core.memory import is_out_of_memory

NEEDED = ("typer", "rich")
TOLD = (EnergyflowError, ValueError, TypeError, OSError, ImportError)
LOST = (
    "another process was lost, or did not answer in time (ENERGYFLOW_TIMEOUT, in seconds); "
    "--resume goes on from what was saved"
)
HOW_TO_INSTALL = "pip install -e '.[cli]'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (those of the process when not given), then exit.

    The exit status is 0, 1 for an error, 2 for a mistake in the command, 130 for an interrupt.
    Under `python -X dev` errors keep their traceback.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        _leave(f"the command line needs {' and '.join(missing)}: {HOW_TO_INSTALL}", 1)

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(given or ["--help"])
    except KeyboardInterrupt as error:
        _leave(": ".join(["interrupted", *map(str, error.args)]), 130)
    except (*TOLD, MemoryError, RuntimeError) as error:
        if sys.flags.dev_mode or (told := _told(error)) is None:
            raise
        if lost(error):
            _tell(told)
            os._exit(1)  # torch's threads may still wait, and an exit that ends them may abort
        _leave(told, 1)
    if status == 130:
        _leave("interrupted", status)
    sys.exit(status)


def _run(arguments: list[str]) -> Any:
    from typer import TyperException

    from ._cli import app

    try:
        with _quiet_but_for_the_first():
            return app(arguments, prog_name="energyflow", standalone_mode=False)
    except TyperException as error:
        _leave(error.format_message(), error.exit_code)


@contextmanager
def _quiet_but_for_the_first() -> Iterator[None]:
    """Of several processes of torchrun only the first one prints, but for errors."""
    if _process() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _process() -> int:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return int(os.environ.get("RANK", "0")) if several else 0


def _told(error: BaseException) -> str | None:
    """What went wrong; None for what nobody has foreseen."""
    if is_out_of_memory(error):
        return f"out of memory: {_describe(error)}"
    if lost(error):
        return LOST
    return _describe(error) if isinstance(error, TOLD) else None


def _describe(error: BaseException) -> str:
    """What happened, and the notes on it, in one line."""
    told = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename is not None:
        told = f"{error.filename}: {error.strerror}"
    return " ".join(" ".join([told, *getattr(error, "__notes__", ())]).split())


def _tell(message: str) -> None:
    process = _process()
    where = f"process {process}: " if process else ""
    print(f"energyflow: {where}{message}", file=sys.stderr, flush=True)


def _leave(message: str, status: int) -> NoReturn:
    _tell(message)
    sys.exit(status)
