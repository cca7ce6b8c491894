"""Advice for those who run out of memory."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CHUNKS = "A smaller chunk_size takes less memory."
PARTICLES = "Fewer particles, or points of the target, take less memory."
TRAINING = "A smaller batch_size, or fewer particles, take less memory."

# torch on the CPU, and JAX, tell it by a RuntimeError alone
_TOLD = ("can't allocate memory", "not enough memory", "RESOURCE_EXHAUSTED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any array library says that there is no memory left."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):  # of a file that cannot be mapped
        return error.errno == errno.ENOMEM
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in _TOLD)
    return told or isinstance(error, MemoryError)


def advise(error: BaseException, told: str) -> None:
    """Add to an error what may help, if it says that there is no memory left."""
    if is_out_of_memory(error) and told not in getattr(error, "__notes__", ()):
        error.add_note(told)


@contextmanager
def advising(told: str) -> Iterator[None]:
    """Advise where the block runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        advise(error, told)
        raise
