"""Several processes, on one machine or many, that share one computation by `torch.distributed`.

torch is imported by `sharded` alone, and not at all in one process.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar, cast

import energyflow_backends as backends

from ._core.checks import check_choice, check_positive
from ._core.flow_result import FlowResult

__all__ = ["gather", "shard", "sharded"]

T = TypeVar("T")


def sharded(
    what: str = "slices", *, group: Any = None, timeout: float | None = None
) -> AbstractContextManager[None]:
    r"""Share sliced energy distances, their gradients and flows among processes.

    With P slices of N + M points and W processes, each process

    - ``"slices"``: has all points and sums over P / W of the slices; the values and gradients are
      added up by one all-reduce of N d numbers.
    - ``"particles"``: has its own points only, N / W and M / W of them. It projects those on all
      slices, gets whole rows of P / W slices from the others, sorts these, and sends the others
      the gradients of their points along them: P (2 N + M) / W numbers out, as many in.

    Both are exact: sums are those of one process up to the rounding of additions, with the same
    directions for the same seed.

    Parameters
    ----------
    what : "slices" or "particles"
        What is shared.
    group : torch.distributed.ProcessGroup, optional
        A process group of `torch.distributed` whose processes share the work. When not given, it
        is the default group where one was initialised; else the first block initialises the one
        that the variables of ``torchrun`` describe (gloo for arrays in ordinary memory, NCCL for
        those on GPUs, one for each process), which stays the default group until the process
        ends and serves later blocks; without these variables this is one process, and nothing
        changes.
    timeout : float, optional
        Seconds after which a process that waits for another gives up with an error, for a group
        that is initialised here; the environment variable ENERGYFLOW_TIMEOUT, or 120, when not
        given. A later block with another timeout initialises the group anew; one inside another
        block keeps that one's. A process that dies is noticed at once where the system closes
        its connections.

    Returns
    -------
    context manager
        What is called inside is shared.

    Raises
    ------
    TypeError, ValueError
        If `what` is unknown or the timeout is not positive. Inside the block, in all processes: if
        they call sums that differ (in dtype, shape, exponent, estimator, weights, ...).
    ModuleNotFoundError
        If there are several processes and torch is not installed.
    RuntimeError
        Inside the block: if another process has died or does not answer in time.

    Notes
    -----
    Every process must make the same calls in the same order. One that leaves the block by an error
    ends the group that was initialised here, so that others get an error too and do not wait; a
    next block that all of them enter initialises it anew. Inside, seeds and host generators are
    those of the first process; generators of a device must be seeded alike. Only the first process
    draws progress bars.

    With shared slices all processes must be given the same arrays, and all get the same results,
    to the last bit. With shared particles each gives its part, at least one point, of x, y and
    their weights (which sum to one over all processes), and gets the value of the whole and the
    gradient of its own points; sums over all pairs, kernel sums and permutation tests are refused
    there. With a `HadamardSlicing`, every process transforms its points once for each of its
    products of D slices, so sharing fewer slices than W D saves sorting only.
    """
    check_choice("what", what, ("slices", "particles"))
    if timeout is None:
        text = os.environ.get("ENERGYFLOW_TIMEOUT") or "120"
        try:
            timeout = float(text)
        except ValueError:
            raise ValueError(f"ENERGYFLOW_TIMEOUT must be seconds, got {text!r}") from None
        check_positive("ENERGYFLOW_TIMEOUT", timeout)
    return backends.sharded(what, group=group, timeout=check_positive("timeout", timeout))


def shard(whole: T) -> T:
    """The rows of an array, or the particles of a flow's result, that fall to this process.

    Parameters
    ----------
    whole : array (N, ...) or FlowResult
        The same in every process; an array may be memory-mapped.

    Returns
    -------
    array (N_k, ...) or FlowResult
        A view of consecutive rows, as many in every process but for one; everything where
        particles are not shared.

    Raises
    ------
    TypeError, ValueError
        If it is neither an array nor a result, or there are fewer rows than processes.
    """
    _check_rows("whole", whole)
    here = backends.sharding()
    if here is None or not here.parted:
        return whole
    if isinstance(whole, FlowResult):
        return replace(whole, particles=shard(whole.particles), velocity=shard(whole.velocity))
    rows = cast("backends.Array", whole)
    if rows.shape[0] < here.size:
        raise ValueError(
            f"whole must have at least one row for each of {here.size} processes, "
            f"got {rows.shape[0]}"
        )
    return cast("T", rows[here.part(rows.shape[0]), ...])


def gather(part: T) -> T | None:
    """What all processes hold, in the first of them.

    Parameters
    ----------
    part : array (N_k, ...) or FlowResult
        The rows of this process.

    Returns
    -------
    array (N, ...), FlowResult or None
        The rows of all processes in their order, in the first process; None in the others. Where
        particles are not shared, what is given, and likewise None in other processes.

    Raises
    ------
    TypeError
        If it is neither an array of numbers or booleans nor a result.
    ValueError
        If the processes hold arrays that differ in library, dtype or the shape of a row.
    """
    _check_rows("part", part)
    here = backends.sharding()
    if here is None or not here.parted:
        return part if backends.is_first() else None
    if not isinstance(part, FlowResult):
        return cast("T | None", here.gathered(cast("backends.Array", part)))
    particles, velocity = here.gathered(part.particles), here.gathered(part.velocity)
    if particles is None or velocity is None:
        return None
    return replace(part, particles=particles, velocity=velocity)


def _check_rows(name: str, given: Any) -> None:
    """An array with rows, or the result of a flow."""
    if isinstance(given, FlowResult):
        return
    if backends.library_of(given) is None:
        raise TypeError(
            f"{name} must be an array (N, ...) or a FlowResult, got {type(given).__name__}"
        )
    if not given.ndim:
        raise ValueError(f"{name} must be an array with rows (N, ...), got one without axes")
