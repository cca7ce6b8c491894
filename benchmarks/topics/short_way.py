"""What a call costs beside the kernel that it leads to, where both are short.

The sliced energy distance of 50 x 3 float64 points and 8 given slices, by the public function with
all its checks and by the compiled kernel alone, on one thread. Values are compared first.
"""

from collections.abc import Iterator

import numpy as np

import energyflow as ef

from ..runner import Line, Run, Topic
from ..timing import host_clock, medians

TOPIC = Topic("short_way", "Short calls", __doc__, threads=1)


@TOPIC("50 x 3 points, 8 slices", n=50, d=3, n_slices=8)
def short_call(run: Run, *, n: int, d: int, n_slices: int) -> Iterator[Line]:
    """Microseconds a call, in turns, and how many times the kernel's that is."""
    from energyflow_kernels.numba.sliced import sliced_energy

    rng = np.random.default_rng(run.seed)
    x, y = rng.normal(size=(2, n, d))
    slices = ef.sample_projections(n_slices, d, rng=run.seed)
    calls = {
        "public function": lambda: ef.sliced_energy_distance(x, y, projections=slices),
        "compiled kernel": lambda: sliced_energy(x, y, slices, wrt=()),
    }
    value, rows = calls["public function"](), calls["compiled kernel"]()[0]
    scale = ef.slicing_constant(d) / n_slices
    if not np.isclose(float(value), scale * rows.sum(), rtol=1e-12):
        run.failures.append("50 x 3 points, 8 slices")
    taken = medians(calls, host_clock, seconds=0.2 if run.quick else 1.0)
    for name, seconds in taken.items():
        numbers = {"us": 1e6 * seconds, "times the kernel": seconds / taken["compiled kernel"]}
        yield Line("50 x 3 points, 8 slices", name, numbers)
