"""Interrupts (Ctrl-C) that wait until the current step is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Set an event at the first interrupt instead of raising; a second one interrupts at once.

    The event stays unset outside the main thread, under a handler of the user's own, and where
    interrupts are ignored, as `nohup` and a script's `&` do.
    """
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    usual = before in (signal.default_int_handler, signal.SIG_DFL)
    if threading.current_thread() is not threading.main_thread() or not usual:
        yield interrupted
        return

    def set_event(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, set_event)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
