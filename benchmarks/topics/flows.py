"""Where flows end: by their defaults, with given settings, and how soon on digits.

Targets are Gaussian, clusters, heavy-tailed, sparse and binary, or near a subspace. The floor is
the exact distance (V) of as many real points as particles to points that the flow does not see,
the mean of three draws; `end` is that of the particles, and `target` that of the target's points,
which no flow can see beyond.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

import energyflow as ef
from energyflow import datasets
from energyflow._core.image_grid import save_grid

from ..competitors import papers
from ..runner import Line, Run, Topic
from ..timing import cpu_seconds

NEAR = 1.5  # times the floor: has arrived
CLOSE = 1.2  # times the floor, to which time is measured
PATIENCE = 10, 100  # times the CPU seconds of the defaults, and seconds: others are stopped
LARGE = 20_000, 800  # particles, and most steps, of the flow to all of MNIST's digits
WHOLE = 200  # steps of one flow to digits
STRIDE = 5  # steps between looks at the distance
MOST_STEPS = 1000
FACTORS: dict[str, tuple[Any, ...]] = {
    "d": (1, 2, 10, 64, 256, 784),
    "slices": ("auto", 16, 128, 1000),
    "momentum": ("auto", 0.7, 0.9),
    "n": (100, 1000),
    "kind": ("Gaussian", "clusters", "heavy", "binary", "subspace"),
    "unit": (1e-6, 1.0, 1e6),
    "exponent": (0.5, 1.0, 1.5),
}
OPTIONS = {"mnist": "folder of MNIST's files"}
TOPIC = Topic("flows", "Where flows end", __doc__, threads=1, options=OPTIONS)


@dataclass(frozen=True)
class Setting:
    """One run of a design."""

    d: int
    slices: int | str = "auto"
    momentum: float | str = "auto"
    n: int = 1000
    kind: str = "Gaussian"
    unit: float = 1.0
    exponent: float = 1.0

    def __str__(self) -> str:
        given = f"{self.kind}, d = {self.d}, N = {self.n}"
        changed = {"unit": 1.0, "exponent": 1.0, "slices": "auto", "momentum": "auto"}
        names = [name for name, usual in changed.items() if getattr(self, name) != usual]
        return ", ".join([given, *(f"{name} {getattr(self, name):g}" for name in names)])

    @property
    def is_default(self) -> bool:
        """Whether nothing is set by the user."""
        return self.slices == "auto" and self.momentum == "auto"

    @property
    def steps(self) -> int:
        """At most."""
        if self.d > 1000:
            return 100
        return 1000 if self.d <= 10 and self.exponent == 1 else 300

    @property
    def target_points(self) -> int:
        """M, and as many that are held out."""
        return max(1000, 4 * self.n if self.n <= 1000 else 2 * self.n)

    @property
    def work(self) -> float:
        """About how many numbers are sorted, or compared by a tree where r is not 1."""
        frame = 128 if self.d <= 128 else 2 ** (self.d - 1).bit_length()
        slices = frame if self.slices == "auto" else int(self.slices)
        slopes = (1 if self.d == 1 else slices) * (self.n + self.target_points)
        return self.steps * slopes * (1 if self.exponent == 1 else 8)

    def points(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points (count, d) of the kind, in its unit."""
        d, shape = self.d, np.random.default_rng(7)
        match self.kind:
            case "Gaussian":
                x = rng.normal(size=(count, d))
            case "clusters":
                centres = 3 * shape.normal(size=(10, d))
                x = centres[rng.integers(10, size=count)] + 0.1 * rng.normal(size=(count, d))
            case "heavy":  # Student's t with two degrees of freedom: without a variance
                x = rng.normal(size=(count, d)) / np.sqrt(rng.chisquare(2, size=(count, 1)) / 2)
            case "binary":
                x = (rng.random((count, d)) < shape.beta(0.3, 3, size=d)).astype(float)
            case _:
                rank = max(1, d // 20)
                x = rng.normal(size=(count, rank)) @ shape.normal(size=(rank, d)) / np.sqrt(rank)
                x += 0.05 * rng.normal(size=(count, d))
        return np.asarray(self.unit * x, np.float32)


class Validator:
    """Exact distances (V) to held-out points (M, d), and the floor of n real points."""

    def __init__(self, held_out: np.ndarray, real: list[np.ndarray], exponent: float) -> None:
        self._points, self._exponent = held_out, exponent
        self._own = self._mean(held_out, held_out)
        self.floor = float(np.mean([self.distance(points) for points in real]))

    def distance(self, x: np.ndarray) -> float:
        """Of points (N, d)."""
        return 2 * self._mean(x, self._points) - self._mean(x, x) - self._own

    def _mean(self, x: np.ndarray, y: np.ndarray) -> float:
        """Of |x - y|^r over all pairs, block by block."""
        blocks = (cdist(x[i : i + 500], y) ** self._exponent for i in range(0, len(x), 500))
        return float(sum(np.sum(block) for block in blocks)) / len(x) / len(y)


def design(most_work: float, seed: int) -> list[Setting]:
    """Settings in which every pair of values of two factors occurs, but for those of much work."""
    rng = np.random.default_rng(seed)
    sizes = [len(values) for values in FACTORS.values()]
    places = [(a, i) for a, size in enumerate(sizes) for i in range(size)]
    missing = {(p, q) for p, q in itertools.combinations(places, 2) if p[0] != q[0]}
    chosen: list[Setting] = []
    while missing:
        tries = [tuple(int(i) for i in rng.integers(sizes)) for _ in range(2000)]
        gains = {
            levels: set(itertools.combinations(enumerate(levels), 2)) & missing
            for levels in tries
            if _setting(levels).work <= most_work
        }
        best = max(gains, key=lambda levels: len(gains[levels]))
        if not gains[best]:
            break
        missing -= gains[best]
        chosen.append(_setting(best))
    return chosen


def _setting(levels: tuple[int, ...]) -> Setting:
    values = zip(FACTORS.items(), levels, strict=True)
    return Setting(**{name: choices[level] for (name, choices), level in values})


def measured(setting: Setting, seed: int) -> dict[str, float]:
    """Distances over the floor at the start and at the end of a run, and what it says of them."""
    rng = np.random.default_rng([seed, 1])
    target = setting.points(setting.target_points, rng)
    held_out = setting.points(setting.target_points, rng)
    real = [setting.points(setting.n, rng) for _ in range(3)]
    validator = Validator(held_out, real, setting.exponent)
    middle = np.mean(target, axis=0)
    squares = np.sum((target - middle) ** 2, axis=1) / setting.d
    radius = np.sqrt(np.median(squares)) or setting.unit
    start = middle + radius * (1 + 1.7 * rng.uniform(-1, 1, size=(setting.n, setting.d)))
    flow = ef.ParticleFlow(
        target, exponent=setting.exponent, n_projections=setting.slices,
        momentum=setting.momentum, rng=seed,
    )  # fmt: skip
    start = start.astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result, seconds = cpu_seconds(
            lambda: flow.run(start, setting.steps, until="converged", progress=False)
        )
    return {
        "start / floor": validator.distance(start) / validator.floor,
        "end / floor": validator.distance(np.asarray(result.particles)) / validator.floor,
        "target / floor": validator.distance(target) / validator.floor,
        "steps": result.state["step"],
        "arrived": float(bool(result.arrived)),
        "warned": float(any(issubclass(w.category, ef.FlowWarning) for w in caught)),
        "still falling": float("still falling" in str(result)),
        "noise": result.noise or 0.0,
        "CPU seconds": seconds,
    }


def _lines(title: str, settings: list[Setting], seed: int) -> Iterator[Line]:
    """Of all settings, and how many of them arrive, warn, or rise."""
    table = []
    for setting in settings:
        table.append(measured(setting, seed))
        yield Line(title, str(setting), table[-1])
    near = [row for row in table if row["end / floor"] <= NEAR]
    far = [row for row in table if row["end / floor"] > NEAR]
    numbers = {
        "runs": len(table),
        f"at most {NEAR:g} floors": len(near),
        "of these, warned": sum(row["warned"] for row in near),
        "of the others, warned": sum(row["warned"] for row in far),
        "of the others, still falling": sum(row["still falling"] for row in far),
        "above the start": sum(row["end / floor"] > row["start / floor"] for row in table),
    }
    yield Line(f"{title}: in all", f"{len(table)} runs", numbers)


@TOPIC("defaults")
def defaults(run: Run) -> Iterator[Line]:
    """Nothing is given: every kind of target in every dimension."""
    kinds = FACTORS["kind"]
    settings = [
        Setting(d, n=(100, 1000)[(i + j) % 2] if d <= 256 else 100, kind=kind)
        for i, d in enumerate(FACTORS["d"])
        for j, kind in enumerate(kinds)
    ]
    settings += [Setting(3072, n=100, kind=kind) for kind in ("Gaussian", "binary")]
    settings += [Setting(2, n=5000, kind="binary")]
    settings += [
        Setting(d, n=100, kind=kind, exponent=exponent)
        for d, kind in ((1, "Gaussian"), (10, "clusters"), (10, "heavy"))
        for exponent in (0.5, 1.5)
    ]
    if run.quick:
        settings = [setting for setting in settings if setting.d <= 2 and setting.n == 100]
    yield from _lines("Nothing given", settings, run.seed)


@TOPIC("given")
def given(run: Run) -> Iterator[Line]:
    """Slices, momentum or both are given: a pairwise design with units and exponents."""
    settings = [s for s in design(3e7 if run.quick else 2e8, run.seed) if not s.is_default]
    yield from _lines("Slices or momentum given", settings[: 3 if run.quick else None], run.seed)


class Defaults:
    """A flow that chooses its settings, step by step."""

    def __init__(self, target: np.ndarray, start: np.ndarray, seed: int) -> None:
        self._flow = ef.ParticleFlow(target, rng=seed)
        self._state: Any = start

    def advance(self) -> np.ndarray:
        """Particles after `STRIDE` more steps."""
        self._state = self._flow.run(self._state, STRIDE, record_every=STRIDE, progress=False)
        return np.asarray(self._state.particles)


class Papers:
    """The papers' algorithm with their settings for MNIST: 1000 slices, tau = 1, m = 0.7."""

    def __init__(self, target: np.ndarray, start: np.ndarray, seed: int) -> None:
        import torch

        self._x, self._y = torch.tensor(start), torch.tensor(target)
        self._velocity = torch.zeros_like(self._x)
        self._generator = torch.Generator().manual_seed(seed)

    def advance(self) -> np.ndarray:
        """Particles after `STRIDE` more steps."""
        import torch

        for _ in range(STRIDE):
            directions = torch.randn(1000, self._x.shape[1], generator=self._generator)
            directions /= directions.norm(dim=1, keepdim=True)
            gradient = papers(self._x, self._y, directions) * (len(self._x) / 2)
            self._velocity = gradient + 0.7 * self._velocity
            self._x = self._x - self._velocity
        return np.asarray(self._x)


@TOPIC("digits", data="digits")
@TOPIC("mnist", data="mnist")
def time_to_the_floor(run: Run, data: str, *, mnist: str = "") -> Iterator[Line]:
    """CPU seconds of flows by defaults, and of the papers' settings on their algorithm.

    1000 particles, or a third of the data, flow from uniform noise on the unit box to
    scikit-learn's digits or 4000 of MNIST's. Without `mnist` the latter are left out.
    """
    if data == "mnist" and not mnist:
        print("mnist is left out: it needs --mnist")
        return
    images = np.asarray(datasets.load(mnist if data == "mnist" else data).train, np.float32)
    pixels = np.random.default_rng([run.seed, 2]).permutation(images.reshape(len(images), -1))
    pixels /= np.max(pixels)
    count = min(len(pixels) // 3, 4000)
    n = 100 if run.quick else min(1000, count)
    target, held_out, others = np.split(pixels[: 3 * count], 3)
    draws = (np.random.default_rng([run.seed, 4 + k]) for k in range(3))
    validator = Validator(held_out, [rng.permutation(others)[:n] for rng in draws], 1.0)
    rng = np.random.default_rng([run.seed, 3])
    start = rng.uniform(size=(n, target.shape[1])).astype(np.float32)
    whole, spent = cpu_seconds(
        lambda: ef.ParticleFlow(target, rng=run.seed).run(start, WHOLE, progress=False)
    )
    energy = validator.distance(np.asarray(whole.particles))
    title = f"{data}, d = {target.shape[1]}, N = {n}"
    numbers = {"E": energy, "floor": validator.floor, "E / floor": energy / validator.floor}
    yield Line(f"{title}: {WHOLE} steps", "defaults", numbers | {"CPU seconds": spent})
    own = math.inf
    for name, kind in (("defaults", Defaults), ("papers", Papers)):
        advance, most = kind(target, start, run.seed).advance, max(PATIENCE[0] * own, PATIENCE[1])
        seconds, steps, reached = _time(advance, validator, most)
        own = min(own, seconds)
        numbers = {
            "reached": reached / validator.floor, "CPU seconds": seconds, "steps": steps,
            "times the defaults": seconds / own,
        }  # fmt: skip
        yield Line(f"{title}: until {CLOSE:g} floors", name, numbers)


def _time(
    advance: Callable[[], np.ndarray], validator: Validator, most: float
) -> tuple[float, int, float]:
    """CPU seconds, steps and distance at 1.2 floors, or where time or steps are spent."""
    seconds, steps, distance = 0.0, 0, math.inf
    while steps < MOST_STEPS:
        x, spent = cpu_seconds(advance)
        seconds, steps, distance = seconds + spent, steps + STRIDE, validator.distance(x)
        if distance <= CLOSE * validator.floor or seconds > most:
            break
    return seconds, steps, distance


@TOPIC("large-mnist")
def large_mnist(run: Run, *, mnist: str = "") -> Iterator[Line]:
    """20,000 particles flow by defaults to all 60,000 digits, judged by the 10,000 of the test.

    The floor is that of as many digits of the target. Without `mnist` it is left out.
    """
    if not mnist:
        print("large-mnist is left out: it needs --mnist")
        return
    data, (n, steps) = datasets.load(mnist), (300, 20) if run.quick else LARGE
    images = (np.asarray(x, np.float32) for x in (data.train, data.test))
    target, held_out = (x.reshape(len(x), -1) / np.max(x) for x in images)
    if run.quick:
        target, held_out = target[:1000], held_out[:1000]
    rng = np.random.default_rng([run.seed, 3])
    start = rng.uniform(size=(n, target.shape[1])).astype(np.float32)
    flow = ef.ParticleFlow(target, rng=run.seed)
    result, spent = cpu_seconds(lambda: flow.run(start, steps, until="converged", progress=False))
    draws = [rng.choice(len(target), n, replace=False) for _ in range(3)]
    floor = float(np.mean([float(ef.energy_distance(target[i], held_out)) for i in draws]))
    x = np.asarray(result.particles)
    energy = float(ef.energy_distance(x, held_out))
    shown = x[rng.permutation(n)[:100]].reshape(-1, 1, 28, 28)
    save_grid(run.out / "flows_mnist.png", shown, 20)
    numbers = {"E": energy, "floor": floor, "E / floor": energy / floor}
    numbers |= {"steps": result.state["step"], "CPU seconds": spent}
    yield Line(f"MNIST, N = {n}, M = {len(target)}", "defaults", numbers)
