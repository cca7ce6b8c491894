"""One shape at a time: who can run, who is right, and then time and memory of those."""

import math
from collections.abc import Callable, Iterable, Iterator

import energyflow as ef

from .memory import MIB
from .methods import METHODS, Call, Method, Oracle, to_numpy
from .rows import Line
from .runner import Run
from .shapes import Shape, problem
from .timing import Clock, medians

_FAILURES = (
    ArithmeticError, AttributeError, ImportError, MemoryError, RuntimeError, TypeError, ValueError,
    ef.EnergyflowError,
)  # fmt: skip
_FULL = ("MemoryError", "OutOfMemoryError")  # the latter of torch and of CuPy
Memory = Callable[[Method, Shape, Call], int | None]


def _verified(method: Method, oracle: Oracle) -> tuple[Call | None, float, str, bool]:
    """A method built for a problem, called once and compared with what is right.

    The call where it is right; the error of its gradient, relative, in norm; why it is not to be
    timed; and whether it is wrong, or failed but for want of memory.
    """
    reason = method.unusable(oracle.problem, oracle.device)
    if reason is not None:
        return None, math.nan, reason, False
    try:
        call = method.build(oracle.problem, oracle.device)
        error = oracle.error(method, to_numpy(call()))
    except _FAILURES as failure:  # the other methods are measured; the run fails in the end
        kind = type(failure).__name__
        reason = f"{kind}: {' '.join(str(failure).split())[:120]}"
        return None, math.nan, reason, kind not in _FULL
    if error > method.tolerance:
        return None, error, f"wrong by {error:.1e}, so not timed", True
    return call, error if method.gives in ("sliced", "exact", "half") else math.nan, "", False


def measured(
    shape: Shape, device: str, clock: Clock, memory: Memory, *, run: Run, seconds: float,
    names: Iterable[str], title: str = "(N, d, P) = {shape}", label: str = "{method}",
) -> Iterator[Line]:  # fmt: skip
    """Lines of the methods named, at one shape."""
    oracle = Oracle(problem(shape, run.seed), device)
    verified = {name: _verified(METHODS[device][name], oracle) for name in names}
    run.failures.extend(f"{name} at {shape}" for name, (*_, wrong) in verified.items() if wrong)
    calls = {name: call for name, (call, *_) in verified.items() if call is not None}
    taken = medians(calls, clock, seconds=seconds)
    extra = {name: memory(METHODS[device][name], shape, call) for name, call in calls.items()}
    for name, (_, error, reason, _) in verified.items():
        numbers = {
            "ms": 1000 * taken.get(name, math.nan),
            "times faster than papers": _ratio(taken.get("papers"), taken.get(name)),
            "times the floor": _ratio(taken.get(name), taken.get("floor")),
            "peak extra MiB": _ratio(extra.get(name), MIB),
            "of papers' memory": _ratio(extra.get(name), extra.get("papers")),
            "relative error": error,
        }
        known = {what: value for what, value in numbers.items() if value == value or what == "ms"}
        ours = name == "energyflow" and not reason
        note = verdicts(shape, known) if ours else reason and f"{name}: {reason}"
        yield Line(title.format(shape=shape), label.format(method=name, n=shape.n), known, note)


def _ratio(numerator: float | None, denominator: float | None) -> float:
    return math.nan if numerator is None or not denominator else numerator / denominator


def verdicts(shape: Shape, numbers: dict[str, float]) -> str:
    """The targets of the shape, and whether the numbers meet them."""
    targets = (
        ("times faster than papers", shape.min_speedup, True),
        ("times the floor", shape.max_floors, False),
        ("of papers' memory", shape.max_memory, False),
    )
    return "; ".join(
        verdict(f"{value:.3g} {measure}", value, wanted, least=least)
        for measure, wanted, least in targets
        if wanted is not None and (value := numbers.get(measure)) is not None
    )


def verdict(text: str, value: float, wanted: float, *, least: bool = False) -> str:
    """Whether a value is at least, or else at most, what is wanted."""
    met = value >= wanted if least else value <= wanted
    bound = "at least" if least else "at most"
    return f"{'met' if met else 'not met'}: {text} (wanted: {bound} {wanted:.3g})"


def fitted_exponent(n: Iterable[float], values: Iterable[float]) -> float:
    """The slope of log values over log n, by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(list(n)), np.log(list(values)), 1)[0])
