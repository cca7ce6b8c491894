"""The bar shows step, numbers and rate on a terminal, and stays silent elsewhere."""

import io
import re
import sys
from contextlib import redirect_stderr

import pytest

from energyflow._core import progress as _progress
from energyflow._core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def shown(self):
        """What was written, without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


@pytest.fixture(params=["rich", "no rich", "dumb"])
def terminal(request, monkeypatch):
    """A terminal for standard error: with rich, without it, and one without a cursor."""
    if request.param == "no rich":
        monkeypatch.setitem(sys.modules, "rich", None)
    else:
        pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "dumb" if request.param == "dumb" else "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    return Terminal()


def test_shows_step_numbers_and_rate(terminal):
    with redirect_stderr(terminal), Progress(20, "flow") as progress:
        for step in range(1, 21):
            progress.update(step, distance=step / 8)
    shown = terminal.shown
    for text in ("flow", "7/20", "20/20", "distance 0.875", "distance 2.5", "steps/s"):
        assert text in shown
    assert shown.endswith("\n")


def test_numbers_stay_until_given_anew(terminal):
    with redirect_stderr(terminal), Progress(2, "flow") as progress:
        progress.update(1, distance=0.25)
        progress.update(2)
    last = terminal.shown.replace("\r", "\n").strip().splitlines()[-1]
    assert "2/2" in last
    assert "distance 0.25" in last


def test_the_rate_counts_from_the_first_update(terminal, monkeypatch):
    clock = iter([100.0, 100.5, 101.0, 102.0, 102.0, 102.0])
    monkeypatch.setattr(_progress, "perf_counter", lambda: next(clock))
    with redirect_stderr(terminal), Progress(30, "flow") as progress:
        progress.update(10)
        progress.update(20)
        progress.update(30)
    assert "20 steps/s" in terminal.shown
    assert "10 steps/s" in terminal.shown


def interrupted_loop():
    with Progress(3, "flow") as progress:
        progress.update(1)
        raise KeyboardInterrupt


def test_the_line_is_ended_after_an_interrupt(terminal):
    with redirect_stderr(terminal), pytest.raises(KeyboardInterrupt):
        interrupted_loop()
    assert "1/3" in terminal.shown
    assert terminal.shown.endswith("\n")


def test_nothing_is_drawn_more_often_than_one_can_read(terminal, monkeypatch):
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_DRAWINGS", 1e9)
    with redirect_stderr(terminal), Progress(1000, "flow") as progress:
        for step in range(1, 1001):
            progress.update(step)
    assert "500/1000" not in terminal.shown
    assert "1000/1000" in terminal.shown


@pytest.mark.parametrize("total", [0, 1])
def test_an_empty_loop_is_fine(terminal, total):
    with redirect_stderr(terminal), Progress(total, "flow"):
        pass
    assert f"0/{total}" in terminal.shown


def test_disabled_is_silent(terminal):
    with redirect_stderr(terminal), Progress(2, "flow", enabled=False) as progress:
        progress.update(1, distance=1.0)
    assert terminal.getvalue() == ""


def test_no_terminal_is_silent(capsys):
    with Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
    assert capsys.readouterr() == ("", "")


def test_no_standard_error_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
