"""Budgets: what they are written as, and what fits."""

from __future__ import annotations

import importlib
import json
import math
import shutil
from time import perf_counter, sleep

import numpy as np
import pytest
import torch
from _lines import rows
from _training_rank import MODELS
from energyflow_kernels.compilation import compilation
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from energyflow.models import (
    MLP,
    Budget,
    FlowGenerator,
    FlowMatching,
    Record,
    RunFolder,
    Trainer,
    TrainingPlan,
)
from energyflow.models._settings import RoundsSettings
from energyflow.models.flow_generator.stages import FlowPlan
from energyflow.models.training.allowance import Allowance, in_words
from energyflow.models.training.single_network import Schedule, SingleNetworkPlan


@given(st.integers(1, 10**6))
def test_units(k: int) -> None:
    assert Budget.of(k) == Budget.of(f"{k}s") == Budget.of(f" {k} S ") == Budget(seconds=k)
    assert Budget.of(f"{k}m").seconds == 60 * k
    assert Budget.of(f"{k}h").seconds == 3600 * k
    assert Budget.of(f"{k} steps") == Budget.of(f"{k}step") == Budget(steps=k)


def test_without_a_limit_everything_fits() -> None:
    assert Budget.of(None).allows(1e9, 10**9, 1e9, 10**9)
    assert Budget.of("0.5h").seconds == 1800


@pytest.mark.parametrize("text", ["", "ten", "-5m", "0 steps", "0s", "5 minutes ago", "nan", "1e3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="budget must be"):
        Budget.of(text)


@pytest.mark.parametrize(
    ("budget", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.inf, ValueError), (True, TypeError)],
)
def test_other_numbers_are_refused(budget: float, error: type) -> None:
    with pytest.raises(error, match="budget must be"):
        Budget.of(budget)


def test_what_fits() -> None:
    assert Budget.of("10s").allows(4, 0, 5, 0)
    assert not Budget.of("10s").allows(5, 0, 5, 0)
    assert Budget.of("10 steps").allows(99, 5, 99, 5)
    assert not Budget.of("10 steps").allows(0, 6, 0, 5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_planned_for_what_it_costs(kind: str) -> None:
    """Ten seconds for steps of half a second are some sixteen, at the most seventeen, steps."""
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)

    def look(seconds: float, steps: float = math.inf) -> dict[str, int]:
        decided: dict[str, int] = {}
        allowance = Allowance(steps, lambda: seconds, lambda stage: 0.5)

        before = perf_counter()

        def decide(
            trainer: Trainer, plan: TrainingPlan, on_start: None, start: float
        ) -> list[Record]:
            assert before <= start < perf_counter()
            decided.update(plan.decide(allowance))
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "train", decide)
            with pytest.raises(KeyboardInterrupt):
                MODELS[kind]().fit(points, progress=False)
        return decided

    short, long = look(10.0), look(1e5)
    assert short["batch_size"] < MODELS[kind]().settings.batch_size == long["batch_size"]
    assert 1 <= short["n_steps"] <= 17
    assert short.get("n_blocks", 1) == 1
    assert long["n_steps"] == (20 if kind == "flow" else 60)
    assert long["n_validation"] == 2000
    assert look(1e-9)["n_validation"] == 0
    assert look(1e-9)["n_steps"] == 1
    whole = {"n_blocks": 1, "n_steps": 20} if kind == "flow" else {}
    assert look(math.inf, 25) == (whole or {"n_steps": 25, "n_rounds": 3})


def test_a_flow_that_takes_too_long_has_fewer_steps(tmp_path, monkeypatch) -> None:
    """Of three seconds each; the plan is kept, and a resumed run flows as long."""
    monkeypatch.setattr(FlowPlan, "_seconds_of_a_flow", lambda *_: lambda n_steps: 3.0 * n_steps)
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    how = {"n_blocks": 3, "n_particles": 40, "n_projections": 4, "architecture": MLP(8, 1)}

    def fit(folder: str, **more) -> FlowGenerator:
        model = FlowGenerator(n_steps=20, first_exponent=5, **how)
        return model.fit(points, out=tmp_path / folder, budget=60.0, progress=False, **more)

    whole = fit("whole")
    decided = json.loads((tmp_path / "whole" / "plan.json").read_text())["decisions"]
    assert 4 <= decided["flow_steps"] <= 8
    assert decided["n_blocks"] == whole.n_trained == 1
    (tmp_path / "cut").mkdir()
    for name in ("plan.json", "settings.json"):
        (tmp_path / "cut" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    for cut in ("7 steps", None):
        resumed = fit("cut", stop_after=cut, resume=True)
    np.testing.assert_array_equal(resumed.sample(5, rng=0), whole.sample(5, rng=0))
    (row,) = [row for row in rows(tmp_path / "cut") if row["flow_steps"]]
    assert float(row["flow_steps"]) == decided["flow_steps"]


def test_seconds_end_a_training(tmp_path) -> None:
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    how = {"n_steps": 10**6, "n_rounds": 3, "architecture": MLP(width=8, depth=1)}
    start = perf_counter()
    model = FlowMatching(**how).fit(points, out=tmp_path / "run", budget=2.0, progress=False)
    assert model.n_trained >= 1
    assert perf_counter() - start < 10  # the start, and a machine that is busy
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["budget"] == {"seconds": 2.0}
    assert 1 <= plan["decisions"]["n_steps"] < 10**5
    again = FlowMatching(**how).fit(points, out=tmp_path / "run", resume=True, progress=False)
    folder = RunFolder(tmp_path / "run")
    n_steps = plan["decisions"]["n_steps"]
    schedule = Schedule(plan["decisions"]["n_rounds"], n_steps)
    for begin, left in folder.shortened():
        schedule = schedule.shortened(begin, left)
    assert folder.records()[-1].step == schedule.steps(schedule.n_rounds - 1)[1] <= n_steps
    assert again.n_trained == plan["decisions"]["n_rounds"]


@given(st.floats(1e-4, 1.0), st.floats(1e-6, 0.5), st.floats(1.0, 1e4), st.integers(1, 999))
@example(0.01, 1e-6, 1.0, 100)  # whatever the points, a step takes as long
def test_a_batch_leaves_room_for_steps(each: float, point: float, left: float, most: int) -> None:
    """Of a step that takes `each + point n` seconds for n points."""
    tried: list[int] = []

    def seconds(size: int) -> float:
        tried.append(size)
        return each + point * size

    size, step = Allowance(math.inf, lambda: left, seconds).batch(lambda size: size, most)
    assert min(2, most) <= size <= most
    assert step >= (each + point * size) * (1 - 1e-9)
    if size > 2:
        assert 16 * step <= left
    if 16 * (4 * each + point * most) <= 0.85 * left:
        assert size == most
    long = [n for n in tried if each + point * n > max(each + 2 * point, left / 16)]
    assert not long


class Slow(torch.nn.Module):
    """A network that takes some milliseconds for each point, and little of the processor."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer, self.seconds, self.calls = torch.nn.Linear(2, 2), seconds, 0

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        self.calls += 1
        sleep(self.seconds * len(x))
        out: Tensor = self.layer(x)
        return out


def test_what_takes_too_long_to_sample_is_given_up() -> None:
    network = Slow(0.01)

    def sample(n: int) -> None:
        for _ in range(1000):
            network(torch.zeros(n, 2))

    start = perf_counter()
    allowance = Allowance(math.inf, lambda: 4.0, lambda stage: 1.0, draws=True)
    found, times = allowance.sampling(network, sample, lambda path: sample(1), 100, 2)
    assert times == 2
    assert not found.n_validation
    assert not found.pictures
    assert network.calls < 10
    assert perf_counter() - start < 1


@pytest.mark.parametrize(
    ("a_sample", "enough", "wanted"),
    [
        (1e-3, 250, (2000, 10)),
        (0.04, 250, (256, 10)),  # which take all that 10 times are allowed
        (0.1, 250, (256, 2)),  # 64 fit into 10 seconds; 250 would twice
        (2.0, 250, (16, 1)),
        (0.1, 0, (64, 10)),
        (20.0, 250, (0, 1)),
    ],
)
def test_samples_that_are_too_few_are_validated_fewer_times(
    monkeypatch, a_sample: float, enough: int, wanted: tuple[int, int]
) -> None:
    seen: list[int] = []

    def seconds(network, call, allowed) -> float:
        call()
        taken = seen[-1] * a_sample
        return taken if taken <= allowed else math.inf

    monkeypatch.setattr("energyflow.models.training.allowance._seconds", seconds)
    allowance = Allowance(math.inf, lambda: 1024.0, lambda stage: 1.0)
    network = torch.nn.Linear(1, 1)
    found, times = allowance.sampling(network, seen.append, print, 2000, 10, enough)
    assert (found.n_validation, times) == wanted
    assert found.seconds * times <= 103


def test_sampling_that_becomes_slower_keeps_what_was_measured(monkeypatch) -> None:
    answers = iter([1.0, 1.0, math.inf])
    monkeypatch.setattr(
        "energyflow.models.training.allowance._seconds", lambda *given: next(answers)
    )
    allowance = Allowance(math.inf, lambda: 1000.0, lambda stage: 1.0)
    found, times = allowance.sampling(torch.nn.Linear(1, 1), print, print, 64, 10)
    assert (found.n_validation, found.seconds, times) == (16, 1.0, 10)


def test_a_budget_for_few_blocks_shortens_them(monkeypatch) -> None:
    """Blocks of 1000 steps of 10 ms: 41 seconds are four, 31 four of 750 steps."""
    monkeypatch.setattr(FlowPlan, "_seconds_of_a_flow", lambda *_: lambda n_steps: 0.0)
    monkeypatch.setattr(FlowPlan, "_validation_cost", lambda plan, size: 0.0)
    monkeypatch.setattr("energyflow.models.training.allowance._seconds", lambda *given: 0.0)
    points, decided = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32), {}

    def decide(trainer: Trainer, plan: TrainingPlan, on_start: None, start: float) -> list[Record]:
        for seconds in (60.0, 41.0, 31.0, 15.1, 5.1, 4.5):
            allowance = Allowance(math.inf, lambda: seconds / 0.85, lambda stage: 0.01)  # noqa: B023
            decided[seconds] = plan.decide(allowance)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", decide)
    how = {"n_particles": 40, "validation": 0.0, "n_projections": 4}
    with pytest.raises(KeyboardInterrupt):
        FlowGenerator(**how).fit(points, progress=False)
    found = {s: (d["n_blocks"], d["n_steps"]) for s, d in decided.items()}
    assert found[60.0] == (5, 1000)
    assert found[41.0] == (4, 1000)
    assert found[31.0] == (4, 750)
    assert found[15.1] == (4, 375)
    assert found[5.1] == (2, 250)
    assert found[4.5] == (1, 450)
    assert decided[41.0]["seconds"] == 41


def test_the_plan_in_words() -> None:
    flow = {"n_blocks": 12, "n_steps": 450, "batch_size": 64, "seconds": 2880, "end_ms": 9}
    assert in_words(flow) == "12 blocks of about 4 minutes, 450 steps each, 64 points a step"
    assert in_words({"n_rounds": 1, "n_steps": 5000}) == "1 round, 5,000 steps"
    assert in_words({}) == ""
    assert (
        in_words({"n_rounds": 1, "n_steps": 1, "seconds": 102})
        == "1 round of about 100 seconds, 1 step"
    )


@pytest.mark.parametrize("kind", [FlowMatching, FlowGenerator])
def test_a_budget_holds_where_one_step_of_the_settings_takes_as_long(tmp_path, kind) -> None:
    """256 points take 2.5 seconds: there are fewer in a batch, and a resumed run has as many."""
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    how = {"batch_size": 256} | ({"n_particles": 100} if kind is FlowGenerator else {})
    out = {"out": tmp_path / "run", "budget": 4.0, "progress": False}
    kind(Slow(0.0), n_steps=2, **how).fit(points, budget="2 steps", progress=False)  # libraries

    start = perf_counter()
    model = kind(Slow(0.01), **how).fit(points, **out)
    assert perf_counter() - start < 6  # and a machine that is busy
    assert model.report.n_steps >= 2
    decisions = json.loads((tmp_path / "run" / "plan.json").read_text())["decisions"]
    assert 2 <= decisions["batch_size"] < 64
    assert not (tmp_path / "run" / "samples" / "000000.png").exists() or decisions["pictures"]


class Clock:
    """Seconds that pass in training, by the clock of a run, beside those that really pass."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.passed, self.a_step = 0.0, 0.0
        patch.setattr(
            "energyflow.models.training.run.perf_counter", lambda: perf_counter() + self.passed
        )

    def network(self) -> torch.nn.Module:
        clock = self

        class Ticking(torch.nn.Linear):
            def forward(self, x: Tensor, *others: Tensor) -> Tensor:
                clock.passed += clock.a_step * torch.is_grad_enabled()
                return super().forward(x)

        return Ticking(2, 2)


SLOWED = {"n_steps": 60, "n_rounds": 5, "batch_size": 16, "validation": 0.0}
POINTS = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)


def test_a_machine_that_becomes_slower_trains_all_rounds_with_fewer_steps(monkeypatch) -> None:
    """60 steps of 300 seconds do not fit 10,000: those that do take the learning rate down."""
    clock, shares = Clock(monkeypatch), []
    learning_rate_at = RoundsSettings.learning_rate_at

    def seen(self, share: float) -> float:
        shares.append(share)
        return learning_rate_at(self, share)

    monkeypatch.setattr(RoundsSettings, "learning_rate_at", seen)

    def slow_down(stage: int, step: int, losses: dict[str, float]) -> None:
        clock.a_step = 300.0

    how = {"budget": 10_000.0, "n_validation": 20, "progress": False}
    model = FlowMatching(clock.network(), **SLOWED).fit(POINTS, callbacks=slow_down, **how)
    assert model.n_trained == 5
    assert 30 <= model.report.n_steps <= 44
    assert model.report.seconds <= 10_000
    assert "all 5 stages are trained, in fewer steps than were planned" in str(model.report)
    assert np.all(np.diff(shares[-model.report.n_steps :]) >= 0)
    assert shares[-1] > 0.95


def test_a_shortened_run_that_is_killed_is_resumed_as_short(tmp_path, monkeypatch) -> None:
    """With the budget, whatever the machine is like then, or without it."""
    clock = Clock(monkeypatch)

    def fit(folder: str, **more) -> FlowMatching:
        clock.passed = 0.0  # in this call
        model = FlowMatching(clock.network(), seed=3, **SLOWED)
        return model.fit(POINTS, out=tmp_path / folder, n_validation=20, progress=False, **more)

    def slow_down(stage: int, step: int, losses: dict[str, float]) -> bool:
        clock.a_step = 300.0
        return stage == 2

    fit("run", budget=10_000.0, callbacks=slow_down)
    ((begin, left),) = RunFolder(tmp_path / "run").shortened()
    clock.a_step = 0.0
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    fit("other", resume=True, stop_after="3 steps")
    models = [
        fit("run", resume=True, budget=10_000.0), fit("other", resume=True),
    ]  # fmt: skip
    schedule = Schedule(5, 60).shortened(begin, left)
    assert schedule.steps(4)[1] < 60
    for model in models:
        assert model.n_trained == 5
        assert model.report.n_steps == schedule.steps(4)[1]
        assert "in fewer steps than were planned" in str(model.report)
    one, other = (model.sample(5, rng=0) for model in models)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("can_shorten", [True, False])
def test_rounds_that_do_not_fit_are_left_out(monkeypatch, can_shorten: bool) -> None:
    """Of 28 rounds three fit, whose steps take 1500 seconds each, and not one step for each."""
    clock = Clock(monkeypatch)
    if not can_shorten:
        monkeypatch.setattr(SingleNetworkPlan, "shorten", TrainingPlan.shorten)
    model = FlowMatching(clock.network(), **(SLOWED | {"n_rounds": 30})).fit(
        POINTS, budget=11_000.0, n_validation=20, progress=False,
        callbacks=lambda *given: setattr(clock, "a_step", 1_500.0),
    )  # fmt: skip
    assert (model.n_trained, model.report.n_steps) == (4, 8)
    assert "another stage does not fit the budget" in str(model.report)


def test_few_steps_of_a_stage_tell_no_pace(tmp_path, monkeypatch) -> None:
    """A run that is resumed by the last step of a round, which loads libraries, keeps its steps."""
    clock = Clock(monkeypatch)

    def fit(**more) -> FlowMatching:
        model = FlowMatching(clock.network(), **SLOWED)
        return model.fit(POINTS, out=tmp_path / "run", progress=False, n_validation=20, **more)

    fit(budget=10_000.0, stop_after="11 steps")
    clock.a_step = 800.0
    resumed = fit(resume=True, callbacks=lambda *given: setattr(clock, "a_step", 1.0))
    assert resumed.report.n_steps == 60
    assert not RunFolder(tmp_path / "run").shortened()


def test_pairs_of_other_forms_are_refused(tmp_path) -> None:
    how = {"out": tmp_path / "run", "progress": False}
    FlowMatching(architecture=MLP(8, 1), **SLOWED).fit(
        POINTS, budget="20 steps", stop_after="3 steps", **how
    )
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    for pairs in ([[1]], [[1, 2.5]], 3, [["1", 2]]):
        (tmp_path / "run" / "plan.json").write_text(json.dumps({**plan, "shortened": pairs}))
        with pytest.raises(ValueError, match=r"run: shortened in plan.json must be pairs"):
            FlowMatching(architecture=MLP(8, 1), **SLOWED).fit(POINTS, resume=True, **how)


@given(st.data())
def test_schedules_that_are_shortened(data) -> None:
    """Rounds follow each other, and the share that is done grows from 0 to 1 without a jump."""
    n_rounds = data.draw(st.integers(1, 8))
    n_steps = data.draw(st.integers(n_rounds, 200))
    schedule = Schedule(n_rounds, n_steps)
    for number in sorted(data.draw(st.lists(st.integers(1, 7), max_size=3))):
        schedule = schedule.shortened(number, data.draw(st.integers(-5, 150)))
    parts = [schedule.steps(k) for k in range(n_rounds)]
    done = [schedule.share(k, step) for k, part in enumerate(parts) for step in range(*part)]
    assert [end for _, end in parts[:-1]] == [begin for begin, _ in parts[1:]]
    assert all(begin < end for begin, end in parts)
    assert parts[-1][1] <= n_steps
    assert done[0] == 0
    assert np.all(np.diff(done) > 0)
    assert schedule.share(n_rounds - 1, parts[-1][1]) == pytest.approx(1)
    for k in range(1, n_rounds):
        assert schedule.share(k - 1, parts[k][0]) == pytest.approx(schedule.share(k, parts[k][0]))


def test_a_run_and_its_plan_of_before_are_resumed_by_the_names_of_today(tmp_path) -> None:
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    how = {"n_particles": 40, "n_projections": 4, "n_blocks": 2, "n_steps": 6, "seed": 0}
    budget = {"budget": "12 steps", "progress": False}
    whole = FlowGenerator(**how).fit(points, out=tmp_path / "whole", **budget)
    run = tmp_path / "run"
    FlowGenerator(**how).fit(points, out=run, stop_after="4 steps", **budget)
    for file, inside in (("settings.json", ()), ("plan.json", ("decisions",))):
        entries = json.loads((run / file).read_text())
        here = entries
        for name in inside:
            here = here[name]
        here["network_steps"] = here.pop("n_steps")
        (run / file).write_text(json.dumps(entries))
    again = FlowGenerator(**how).fit(points, out=run, resume=True, **budget)
    np.testing.assert_array_equal(again.sample(9, rng=0), whole.sample(9, rng=0))


def test_a_run_that_is_resumed_keeps_the_batch_size_of_its_plan(tmp_path) -> None:
    points = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    seen: list[int] = []

    class Counting(torch.nn.Linear):
        def forward(self, x: Tensor, *others: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                seen.append(len(x))
            return super().forward(x)

    def fit(**how) -> None:
        model = FlowMatching(Counting(2, 2), n_steps=9, n_rounds=1, validation=0.0)
        model.fit(points, out=tmp_path / "run", resume=True, progress=False, **how)

    fit(budget="4 steps", stop_after="2 steps")
    plan = tmp_path / "run" / "plan.json"
    kept = json.loads(plan.read_text())
    kept["decisions"]["batch_size"] = 24
    plan.write_text(json.dumps(kept))
    seen.clear()
    fit()
    assert seen == [24, 24]


def test_compilation_does_not_count() -> None:
    numba = pytest.importorskip("numba", reason="numba is an extra")

    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x) * inner(2.0 * x)

    start = perf_counter()
    with compilation() as compiled:
        event = importlib.import_module("numba.core.event")
        event.end_event("numba:compile")  # of a compilation that started before
        assert compiled() == 0
        outer(1.0)
        first = compiled()
        outer(2.0)
        assert 0 < first == compiled() <= perf_counter() - start
