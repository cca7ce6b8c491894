"""The tasks of sbibm (Lueckmann et al., AISTATS 2021), simulated by their definitions."""

import bz2
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Points = np.ndarray[Any, np.dtype[np.float64]]
Rng = np.random.Generator
WHEEL = "sbibm-1.1.0-py2.py3-none-any.whl"
MISSING = (
    f"{{}} is no file: the observations and reference samples are read from {WHEEL}, which "
    "`pip download --no-deps sbibm==1.1.0` fetches; name it by --wheel PATH"
)


@dataclass(frozen=True)
class Task:
    """Parameters theta, drawn by `prior(n, rng)`, and observations `simulate(theta, rng)`.

    law : the prior by its name and numbers, for peers. bounds : of the parameters.
    log_likelihood : `(theta, x)`, where it has a closed form. published : mean C2ST of (NPE, SNPE)
    over ten observations, by number of simulations.
    """

    name: str
    law: tuple[str, Any, Any]
    simulate: Callable[[Points, Rng], Points]
    published: Mapping[int, tuple[float, float]]

    @property
    def bounds(self) -> tuple[Any, Any] | None:
        kind, *numbers = self.law
        return {"uniform": tuple(numbers), "lognormal": (0.0, np.inf), "normal": None}[kind]

    def prior(self, n: int, rng: Rng) -> Points:
        kind, first, second = self.law
        if kind == "uniform":
            return rng.uniform(first, second, size=(n, len(first)))
        normal = rng.standard_normal((n, len(first)))
        if kind == "normal":
            return np.asarray(first + normal @ np.linalg.cholesky(second).T)
        return np.exp(first + second * normal)


@dataclass(frozen=True)
class Reference:
    """The ten observations of a task with 10,000 samples of their posteriors, in sbibm's wheel."""

    wheel: Path
    task: str

    def __post_init__(self) -> None:
        if not self.wheel.is_file():
            raise SystemExit(MISSING.format(self.wheel))

    def observation(self, number: int) -> Points:
        """Of the numbers 1, ..., 10, a vector."""
        return self._table(number, "observation.csv")[0]

    def posterior(self, number: int) -> Points:
        """Samples (10000, d)."""
        return self._table(number, "reference_posterior_samples.csv.bz2")

    def _table(self, number: int, name: str) -> Points:
        path = f"sbibm/tasks/{self.task}/files/num_observation_{number}/{name}"
        with zipfile.ZipFile(self.wheel) as wheel:
            content = wheel.read(path)
        text = bz2.decompress(content) if name.endswith(".bz2") else content
        return np.loadtxt(io.BytesIO(text), delimiter=",", skiprows=1, ndmin=2)


def two_moons(theta: Points, rng: Rng) -> Points:
    angle = rng.uniform(-np.pi / 2, np.pi / 2, len(theta))
    radius = rng.normal(0.1, 0.01, len(theta))
    crescent = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], axis=1)
    moved = np.stack([-np.abs(theta.sum(axis=1)), theta[:, 1] - theta[:, 0]], axis=1)
    return np.asarray(crescent + moved / np.sqrt(2))


def gaussian_linear(theta: Points, rng: Rng) -> Points:
    return np.asarray(theta + np.sqrt(0.1) * rng.standard_normal(theta.shape))


def gaussian_mixture(theta: Points, rng: Rng) -> Points:
    scale = rng.choice([1.0, 0.1], size=(len(theta), 1))
    return np.asarray(theta + scale * rng.standard_normal(theta.shape))


def slcp(theta: Points, rng: Rng) -> Points:
    """Four points (x, y) of a normal law, one after the other."""
    s1, s2, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])
    first, second = rng.standard_normal((2, 4, len(theta)))
    x = theta[:, 0] + s1 * first
    y = theta[:, 1] + s2 * (rho * first + np.sqrt(1 - rho**2) * second)
    return np.stack([x, y], axis=2).transpose(1, 0, 2).reshape(len(theta), 8)


def stimulus() -> tuple[Points, Points]:
    """The frozen stimulus (100,) of the Bernoulli GLM, and its design matrix (100, 10)."""
    current = np.random.RandomState(42).randn(100)  # as published
    design = np.ones((100, 10))
    for lag in range(9):
        design[:, 1 + lag] = np.concatenate([np.zeros(lag), current[: 100 - lag]])
    return current, design


def bernoulli_glm(theta: Points, rng: Rng) -> Points:
    """The number of spikes, and their correlations with the stimulus at lags 0 to 8."""
    current, design = stimulus()
    spikes = rng.random((len(theta), 100)) < 1 / (1 + np.exp(-theta @ design.T))
    lagged = [spikes[:, lag:] @ current[: 100 - lag] for lag in range(9)]
    return np.stack([spikes.sum(axis=1), *lagged], axis=1).astype(np.float64)


def smoothness_prior() -> Points:
    """The covariance of the parameters of the Bernoulli GLM: second differences are small."""
    difference = np.eye(9) - np.eye(9, k=-1)
    factor = difference @ difference + np.diag(np.sqrt(np.arange(9) / 9))
    precision = np.zeros((10, 10))
    precision[0, 0] = 0.5
    precision[1:, 1:] = factor.T @ factor
    return np.asarray(np.linalg.inv(precision))


def sir(theta: Points, rng: Rng) -> Points:
    """Infected among 1000 people each 17 days of an epidemic among a million."""
    beta, gamma = theta.T

    def change(state: Points) -> Points:
        susceptible, infected = state
        new = beta * susceptible * infected
        return np.stack([-new, new - gamma * infected])

    start = np.stack([np.full(len(theta), 1 - 1e-6), np.full(len(theta), 1e-6)])
    infected = _solved(change, start, n_times=10, apart=17.0, n_steps=170)[:, 1]
    return rng.binomial(1000, np.clip(infected.T, 0, 1)).astype(np.float64)


def lotka_volterra(theta: Points, rng: Rng) -> Points:
    """Prey at ten times, then predators, with lognormal noise."""
    alpha, beta, gamma, delta = theta.T

    def change(state: Points) -> Points:
        prey, predators = np.exp(np.minimum(state, 100))
        return np.stack([alpha - beta * predators, delta * prey - gamma])

    start = np.repeat(np.log([[30.0], [1.0]]), len(theta), axis=1)
    logs = _solved(change, start, n_times=10, apart=2.1, n_steps=300)  # (times, 2, n)
    clean = np.clip(logs, np.log(1e-10), np.log(1e4)).transpose(2, 1, 0).reshape(len(theta), 20)
    return np.exp(clean + 0.1 * rng.standard_normal(clean.shape))


def _solved(
    change: Callable[[Points], Points], start: Points, *, n_times: int, apart: float, n_steps: int
) -> Points:
    """Runge-Kutta solutions (n_times, *start.shape), so many steps from time to time."""
    step, states = apart / n_steps, [start]
    for _ in range(n_times - 1):
        state = states[-1]
        for _ in range(n_steps):
            first = change(state)
            second = change(state + step / 2 * first)
            third = change(state + step / 2 * second)
            fourth = change(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
        states.append(state)
    return np.stack(states)


def _box(bound: float, d: int) -> tuple[str, Any, Any]:
    return "uniform", np.full(d, -bound), np.full(d, bound)


def _published(npe: str, snpe: str) -> dict[int, tuple[float, float]]:
    pairs = zip(map(float, npe.split()), map(float, snpe.split()), strict=True)
    return dict(zip((1_000, 10_000, 100_000), pairs, strict=True))


TASKS = {
    task.name: task
    for task in (
        Task("two_moons", _box(1, 2), two_moons, _published(".725 .606 .542", ".643 .554 .530")),
        Task(
            "gaussian_mixture", _box(10, 2), gaussian_mixture,
            _published(".716 .615 .548", ".669 .551 .536"),
        ),
        Task(
            "gaussian_linear", ("normal", np.zeros(10), 0.1 * np.eye(10)), gaussian_linear,
            _published(".694 .552 .506", ".652 .544 .507"),
        ),
        Task(
            "gaussian_linear_uniform", _box(1, 10), gaussian_linear,
            _published(".696 .553 .509", ".631 .527 .507"),
        ),
        Task("slcp", _box(3, 5), slcp, _published(".975 .901 .831", ".965 .845 .666")),
        Task(
            "bernoulli_glm", ("normal", np.zeros(10), smoothness_prior()), bernoulli_glm,
            _published(".863 .678 .559", ".855 .614 .525"),
        ),
        Task(
            "sir", ("lognormal", np.log([0.4, 0.125]), np.array([0.5, 0.2])), sir,
            _published(".815 .680 .585", ".638 .561 .575"),
        ),
        Task(
            "lotka_volterra",
            ("lognormal", np.array([-0.125, -3, -0.125, -3]), np.full(4, 0.5)),
            lotka_volterra, _published(".999 .997 .981", ".990 .953 .928"),
        ),
    )
}  # fmt: skip
