"""Interrupts (Ctrl-C) that wait until the work at hand is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Set an event at the first interrupt in place of raising; a second one interrupts at once.

    The event stays unset where interrupts are somebody else's: outside the main thread, under
    a handler of the user's own, and where they are ignored, as `nohup` and a script's `&` do.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    usual = before in (signal.default_int_handler, signal.SIG_DFL)
    if threading.current_thread() is not threading.main_thread() or not usual:
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
