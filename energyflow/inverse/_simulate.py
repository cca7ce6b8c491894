"""Pairs of parameters and observations: draws of a prior, put through a simulator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from energyflow_backends import Floats, library_of, to_host

from .._core.checks import check_choice, check_count, check_flag, warn
from .._core.extras import need
from .._core.progress import Progress
from .._core.random import Rng, as_generator
from ._function import takes_rng
from ._prior import draw, is_tensor, restored, seed_all

_CHUNK = 1000  # simulations whose random numbers have one seed, in batches
_SERIAL_CHUNK = 10  # one by one, between two drawings of the progress bar
_FIRST = 100  # one by one, of which one must succeed
_MOST_SHOWN = 200  # letters of a failure


@dataclass(frozen=True, eq=False, repr=False)
class Simulations:
    """Pairs for `PosteriorFlow.fit`: ``flow.fit(pairs.parameters, pairs.observations)``.

    Attributes
    ----------
    parameters : array (k, d)
    observations : array (k, *observation)
        Both in the library of the prior's draws.
    n_failed : int
        Simulations that raised an error or gave NaN or infinite numbers, and were dropped.
    """

    parameters: Any
    observations: Any
    n_failed: int = 0

    def __repr__(self) -> str:
        shapes = f"parameters {tuple(self.parameters.shape)}"
        shapes += f", observations {tuple(self.observations.shape)}"
        return f"Simulations({shapes}, n_failed={self.n_failed})"

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.parameters)


def simulate(
    prior: Any,
    simulator: Callable[..., Any],
    n: int,
    rng: Rng = 0,
    *,
    batched: bool = False,
    n_jobs: int = 1,
    workers: Literal["processes", "threads"] = "processes",
    progress: bool = False,
) -> Simulations:
    """Draw parameters from a prior and simulate an observation for each.

    Parameters
    ----------
    prior : distribution, sequence of distributions or callable
        A frozen distribution of scipy.stats, or one for each parameter; a distribution of torch;
        or a function of (n, rng) that gives parameters (n, d).
    simulator : callable
        Takes the parameters (d,) of one simulation and gives its observation; or, if `batched`,
        parameters (n, d), and gives observations (n, ...). It gets tensors from a prior of torch,
        else NumPy arrays. One with a parameter `rng` gets a `numpy.random.Generator` there.
    n : int
        How many simulations.
    rng : int, generator or None
        Seed of parameters and simulations.
    batched : bool
        Whether the simulator takes many parameters at once.
    n_jobs : int
        How many run at the same time; -1 for as many as there are CPUs. More than one needs
        joblib.
    workers : "processes" or "threads"
        What runs them: threads suit simulators that leave Python's interpreter for long.
    progress : bool
        Draw a progress bar, which counts simulations.

    Returns
    -------
    Simulations
        Pairs, without those that failed: a warning says how many.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or observations differ in shape.
    RuntimeError
        If all simulations failed, or all of the first ones, after which no other is run; the first
        failure is its cause.

    Notes
    -----
    Pairs depend on the seed alone, not on `n_jobs`. A simulator without `rng` that draws from the
    global generators of Python, NumPy or torch finds them seeded, and they are as before
    afterwards; in threads, which share them, it must take `rng`. A batch that raises an error is
    simulated again one by one. Where all of the first 100 fail (1000 for each job, if `batched`),
    the others are not run. Ctrl-C raises KeyboardInterrupt, and nothing of the pairs is kept.

    Examples
    --------
    >>> from scipy import stats
    >>> from energyflow import inverse
    >>> prior = stats.uniform([0, 0], [1, 2])
    >>> inverse.simulate(prior, lambda theta, rng: theta + rng.normal(size=2), 50)
    Simulations(parameters (50, 2), observations (50, 2), n_failed=0)
    """
    n, batched = check_count("n", n), check_flag("batched", batched)
    check_flag("progress", progress)
    n_jobs = -1 if n_jobs == -1 else check_count("n_jobs", n_jobs)
    check_choice("workers", workers, ("processes", "threads"))
    if not callable(simulator):
        raise TypeError(f"simulator must be callable, got {type(simulator).__name__}")
    generator = as_generator(rng)
    parameters = draw(prior, n, generator)
    task = _Task(
        simulator, batched, takes_rng(simulator), None if n_jobs == 1 else workers,
        int(generator.integers(2**62)),
    )  # fmt: skip
    with Progress(n, "simulations", progress, "simulations") as bar:
        outcomes = _run(task, parameters, n_jobs, bar)
    return _collected(parameters, outcomes)


@dataclass(frozen=True)
class _Failure:
    """Why a simulation failed; in other processes without the error, which may not be pickled."""

    reason: str
    error: Exception | None = None


_Outcome = Floats | _Failure


@dataclass(frozen=True)
class _Task:
    """Simulates a chunk of parameters; a function of their place and the seed."""

    simulator: Callable[..., Any]
    batched: bool
    takes_rng: bool
    workers: str | None
    seed: int

    @property
    def seeds(self) -> bool:
        """Whether global generators are seeded: threads share them."""
        return not self.takes_rng and self.workers != "threads"

    def __call__(self, first: int, parameters: Any) -> list[_Outcome]:
        """An observation, or the failure, for each of the parameters."""
        with restored() if self.seeds else nullcontext():
            return self._all(first, parameters)

    def _all(self, first: int, parameters: Any) -> list[_Outcome]:
        if self.batched:
            whole = self._one(parameters, first)
            if not isinstance(whole, _Failure):
                if whole.ndim == 0 or len(whole) != len(parameters):
                    raise ValueError(
                        f"simulator must give an observation for each of {len(parameters)} "
                        f"parameters (batched=True), got shape {whole.shape}"
                    )
                return [np.atleast_1d(observed) for observed in whole]
        outcomes: list[_Outcome] = []
        for k in range(len(parameters)):
            given = parameters[k : k + 1] if self.batched else parameters[k]
            observed = self._one(given, first + k, 1)
            if not isinstance(observed, _Failure):
                observed = np.atleast_1d(observed[0] if self.batched else observed)
            outcomes.append(observed)
        return outcomes

    def _one(self, given: Any, *place: int) -> _Outcome:
        seed = [self.seed, *place]
        given = given.clone() if is_tensor(given) else given.copy()  # may be changed in place
        try:
            if self.takes_rng:
                observed = self.simulator(given, rng=np.random.default_rng(seed))
            else:
                if self.seeds:
                    seed_all(int(np.random.SeedSequence(seed).generate_state(1)[0]))
                observed = self.simulator(given)
            numbers = _numbers(observed)
        except Exception as error:  # the user's code may raise anything
            kept = None if self.workers == "processes" else error
            return _Failure(f"{type(error).__name__}: {error}", kept)
        return numbers


def _numbers(observed: Any) -> Floats:
    """A copy of an observation as floating numbers: simulators may use a buffer again."""
    host = np.asarray(to_host(observed) if library_of(observed) is not None else observed)
    if host.dtype.kind not in "biuf":
        raise TypeError(f"simulator must give real numbers, got {host.dtype}")
    return host.astype(host.dtype if host.dtype.kind == "f" else np.float64)


def _run(task: _Task, parameters: Any, n_jobs: int, bar: Progress) -> list[_Outcome]:
    """The outcomes of all simulations, in order; only of the first ones if all of these fail."""
    n, jobs = len(parameters), 1
    if task.workers is not None:
        need("joblib", "n_jobs above 1", "models")
        from joblib import cpu_count

        jobs = cpu_count() if n_jobs == -1 else n_jobs
    first = min(n, jobs * _CHUNK if task.batched else max(_FIRST, jobs))
    outcomes: list[_Outcome] = []
    for start, stop in ((0, first), (first, n)):
        size = _CHUNK if task.batched else _chunk(stop - start, jobs)
        starts = range(start, stop, size)
        chunks = [(k, parameters[k : min(k + size, stop)]) for k in starts]
        for part in _parts(task, chunks, n_jobs):
            outcomes += [_checked(outcome) for outcome in part]
            bar.update(len(outcomes))
        if all(isinstance(outcome, _Failure) for outcome in outcomes):
            break
    return outcomes


def _chunk(n: int, jobs: int) -> int:
    """How many simulations one by one are a chunk."""
    return _SERIAL_CHUNK if jobs == 1 else min(_CHUNK, max(1, -(-n // (4 * jobs))))


def _parts(task: _Task, chunks: list[tuple[int, Any]], n_jobs: int) -> Iterable[list[_Outcome]]:
    """The outcomes of each chunk, in order."""
    if task.workers is None or not chunks:
        return (task(*chunk) for chunk in chunks)
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs, prefer=task.workers, return_as="generator")
    parts: Iterable[list[_Outcome]] = parallel(delayed(task)(*chunk) for chunk in chunks)
    return parts


def _checked(outcome: _Outcome) -> _Outcome:
    """An observation of finite numbers, or a failure."""
    if isinstance(outcome, _Failure) or np.isfinite(outcome).all():
        return outcome
    return _Failure("NaN or infinite numbers")


def _collected(parameters: Any, outcomes: list[_Outcome]) -> Simulations:
    """Pairs of what did not fail; a warning counts the rest."""
    kept = [k for k, outcome in enumerate(outcomes) if not isinstance(outcome, _Failure)]
    observed = [outcome for outcome in outcomes if not isinstance(outcome, _Failure)]
    failed = {k: o for k, o in enumerate(outcomes) if isinstance(o, _Failure)}
    if failed:
        first, failure = next(iter(failed.items()))
        rest = len(parameters) - len(outcomes)
        message = (
            f"{len(failed)} of {len(outcomes)} simulations failed, the first (of parameters "
            f"{parameters[first].tolist()}) with {failure.reason[:_MOST_SHOWN]}"
            + (f"; the other {rest} were not run" if rest else "")
        )
        if not kept:
            raise RuntimeError(message) from failure.error
        warn(f"{message}: they are left out")
    shapes = sorted({one.shape for one in observed})
    if len(shapes) > 1:
        raise ValueError(f"simulator must give observations of one shape, got {shapes[:3]}")
    stacked: Any = np.stack(observed)
    if is_tensor(parameters):
        stacked = sys.modules["torch"].from_numpy(stacked)
    return Simulations(parameters[kept], stacked, len(failed))
