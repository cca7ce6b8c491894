"""Out-of-memory errors of all libraries, and advice on them."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CHUNKS = "A smaller chunk_size takes less memory."
PARTICLES = "Fewer particles, or points of the target, take less memory."
TRAINING = "A smaller batch_size, or fewer particles, take less memory."

PART = 2**30  # bytes of all results on the way through a network; few are there at a time

# of the RuntimeError that torch on the CPU and JAX raise
_MESSAGES = ("can't allocate memory", "not enough memory", "RESOURCE_EXHAUSTED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any array library means that memory is exhausted."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):  # of a file that cannot be mapped
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _MESSAGES)
    return isinstance(error, MemoryError)


def advise(error: BaseException, advice: str) -> None:
    """Add a note with what may help to an out-of-memory error; leave other errors alone."""
    if is_out_of_memory(error) and advice not in getattr(error, "__notes__", ()):
        error.add_note(advice)


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add the note to out-of-memory errors of the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        advise(error, advice)
        raise
