"""Interrupts (Ctrl-C) that wait until the work at hand is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Set an event at the first interrupt in place of raising; a second one interrupts at once.

    The event stays unset where interrupts are somebody else's: outside the main thread, and under
    a handler of the user's own.
    """
    asked = threading.Event()
    usual = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN)
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) not in usual:
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
