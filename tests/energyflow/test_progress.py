"""The bar shows step, numbers and rate on a terminal, and stays silent elsewhere."""

import errno
import gc
import io
import os
import re
import sys
from contextlib import nullcontext, redirect_stderr
from types import ModuleType

import pytest
import tqdm.auto

from energyflow._core import progress as _progress
from energyflow._core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def shown(self):
        """What was written, without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch):
    """A terminal for standard error, which is wide and drawn on at every update."""
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


class GoneAfter(Terminal):
    """A terminal that goes away: from some number of writes on, they raise EIO."""

    def __init__(self, n_writes):
        super().__init__()
        self.left = n_writes

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("n_writes", [0, 1, 2, 5, 20])
def test_a_terminal_that_goes_away_ends_nothing(terminal, n_writes):
    gone = GoneAfter(n_writes)
    with redirect_stderr(gone), Progress(20, "flow") as progress:
        for step in range(1, 21):
            progress.update(step, distance=step / 8)
    assert gone.left < 0
    gc.collect()  # an error of a finalizer would be a warning


def test_numbers_stay_until_given_anew(terminal):
    with redirect_stderr(terminal), Progress(2, "flow") as progress:
        progress.update(1, distance=0.25)
        progress.update(2)
    last = terminal.shown.replace("\r", "\n").strip().splitlines()[-1]
    assert "2/2" in last
    assert "distance 0.25" in last


def test_the_rate_counts_from_the_first_update(terminal, monkeypatch):
    now = 100.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    with redirect_stderr(terminal), Progress(30, "flow") as progress:
        progress.update(10)
        now = 101.0
        progress.update(30)
    assert "20.00 steps/s" in terminal.shown


def interrupted_loop():
    with Progress(3, "flow") as progress:
        progress.update(1)
        raise KeyboardInterrupt


def test_the_line_is_ended_after_an_interrupt(terminal):
    with redirect_stderr(terminal), pytest.raises(KeyboardInterrupt):
        interrupted_loop()
    assert "1/3" in terminal.shown
    assert terminal.shown.endswith("\n")


@pytest.mark.parametrize(
    ("error", "style"), [(None, "success"), (KeyboardInterrupt, "danger"), (ValueError, "danger")]
)
def test_a_loop_that_ends_early_by_itself_is_no_failure(terminal, monkeypatch, error, style):
    styles = []

    class Notebook(tqdm.std.tqdm):
        """Closes as tqdm's bar for notebooks does."""

        def display(self, *args, bar_style=None, **how):
            styles.append(bar_style)
            return super().display(*args, **how)

        def close(self):
            super().close()
            self.display(bar_style="danger" if self.n < self.total else "success")

    monkeypatch.setattr("tqdm.auto.tqdm", Notebook)
    expected = nullcontext() if error is None else pytest.raises(error)
    with redirect_stderr(terminal), expected, Progress(3, "flow") as progress:
        progress.update(1)
        if error is not None:
            raise error
    assert styles[-1] == style
    assert "1/3" in terminal.shown


def test_nothing_is_drawn_more_often_than_one_can_read(terminal, monkeypatch):
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_DRAWINGS", 1e9)
    with redirect_stderr(terminal), Progress(1000, "flow") as progress:
        for step in range(1, 1001):
            progress.update(step)
    assert "500/1000" not in terminal.shown
    assert "1000/1000" in terminal.shown


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
def test_a_terminal_of_unknown_size_shows_the_bar():
    ours, theirs = os.openpty()  # has 0 rows of 0 columns, as in some containers
    with open(theirs, "w") as stream, redirect_stderr(stream), Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
    shown = b""
    while b"1/2 steps [" not in shown or b"distance 1" not in shown:
        shown += os.read(ours, 4096)  # an OSError where nothing more comes
    os.close(ours)


@pytest.mark.parametrize("total", [0, 1])
def test_an_empty_loop_is_fine(terminal, total):
    with redirect_stderr(terminal), Progress(total, "flow"):
        pass
    assert ("0/1" if total else "0 steps") in terminal.shown


def test_disabled_is_silent(terminal):
    with redirect_stderr(terminal), Progress(2, "flow", enabled=False) as progress:
        progress.update(1, distance=1.0)
    assert terminal.getvalue() == ""


def test_short_loops_are_silent_in_files(capsys):
    with Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
    assert capsys.readouterr() == ("", "")


def test_a_file_gets_a_plain_line_now_and_then(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(_progress, "perf_counter", lambda: now)
    path = tmp_path / "log"
    with path.open("w") as stream, redirect_stderr(stream), Progress(100, "flow") as progress:
        for step in range(101):
            now = 1.0 * step
            progress.update(step, distance=step / 8)
    lines = path.read_text().splitlines()
    assert lines[0] == "flow:  30% 30/100 steps [00:30<01:10,  1.00 steps/s, distance 3.75]"
    assert [line[6:10] for line in lines] == [" 30%", " 60%", " 90%", "100%"]


@pytest.mark.parametrize("drawn", [True, False])
def test_parts_of_stages_give_the_time_left(terminal, monkeypatch, drawn):
    now = 100.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    monkeypatch.setattr(_progress, "perf_counter", lambda: now)
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_LINES", 0.0)
    stream = terminal if drawn else io.StringIO()
    with redirect_stderr(stream), Progress(4, "training", unit="stages") as progress:
        progress.update(0.1, loss=1.0)
        now = 110.0
        progress.update(0.2, loss=0.5)
        shown = terminal.shown if drawn else stream.getvalue()  # before it is closed
    # a tenth of a stage in 10 seconds: 38 tenths are left
    assert "0.20/4 stages [00:10<06:20, loss 0.5]" in shown
    assert "5%" in shown


def test_a_notebook_shows_the_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    stream = io.StringIO()  # is no terminal, and neither is ipykernel's
    with redirect_stderr(stream), Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
    assert "1/2" in stream.getvalue()
    assert "distance 1" in stream.getvalue()


def test_no_standard_error_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress(2, "flow") as progress:
        progress.update(1, distance=1.0)
