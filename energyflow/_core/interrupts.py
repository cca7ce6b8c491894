"""Interrupts (Ctrl-C) and SIGTERM that wait until the current step is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C or SIGTERM instead of ending; a second one ends at once.

    One may come at any moment until the end of the `with`: ask the event once more after it.
    SIGTERM is what `kill`, a shutdown and the queues of clusters send. The event stays unset
    outside the main thread, under a handler of the user's own, and where the signal is ignored, as
    `nohup` and a script's `&` ignore interrupts.
    """
    interrupted = threading.Event()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                _defer(number, interrupted, stack)
        yield interrupted


def _defer(number: signal.Signals, event: threading.Event, stack: ExitStack) -> None:
    """Let one signal set the event, until the stack is closed."""
    before = signal.getsignal(number)
    if before not in (signal.default_int_handler, signal.SIG_DFL):
        return

    def set_event(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, before)

    signal.signal(number, set_event)
    stack.callback(signal.signal, number, before)
