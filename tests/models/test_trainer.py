"""The training loop: the same weights whatever interrupts it, and when it ends."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from _lines import Lines, rows, train

from energyflow.models import (
    FlowMatching,
    RunFolder,
    Stage,
    Trainer,
    TrainingDiverged,
    TrainingReport,
    Validation,
    load,
)
from energyflow.models.data.training_set import TrainingSet
from energyflow.models.training.stage_training import adam


class Interrupt(Exception):
    pass


def interrupt_at(where: tuple[int, int]) -> Callable[[int, int], None]:
    def at_step(stage: int, step: int) -> None:
        if (stage, step) == where:
            raise Interrupt

    return at_step


@pytest.mark.parametrize("every", [None, 7])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("where", [(0, 0), (1, 13), (2, 19)])
@pytest.mark.parametrize("warm_start", [False, True])
def test_resuming_equals_an_uninterrupted_run(tmp_path, where, ema, every, warm_start) -> None:
    whole = Lines(warm_start=warm_start)
    train(whole, ema=ema)
    how = {"out": tmp_path / "run", "ema": ema, "checkpoint_every": every, "log_every": 5}
    with pytest.raises(Interrupt):
        train(Lines(at_step=interrupt_at(where), warm_start=warm_start), **how)
    again = Lines(warm_start=warm_start)
    steps: list[tuple[int, int]] = []
    again.at_step = lambda stage, step: steps.append((stage, step))
    records = train(again, resume=True, **how)
    assert steps[0] == (where[0], where[1] // every * every if every else 0)
    assert [record.step for record in records] == [20, 40, 60]
    assert again.weights(3) == whole.weights(3)
    found = [int(row["step"]) for row in rows(tmp_path / "run") if row["loss"]]
    assert found == list(range(5, 61, 5))
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "000000", "000001", "000002",
    ]  # fmt: skip


def test_the_average_forgets_where_training_began() -> None:
    """After 20 steps at decay 0.9999 alone, 99.8% of the average would be the first weights."""
    plan = Lines(n_stages=1, n_steps=20, rate=0.05)
    train(plan, ema=0.9999)
    assert float(plan.learned[0].weight.detach()) > 0.5


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_stages_with_a_warm_start_are_one_training(ema) -> None:
    parts, whole = Lines(3, 20, warm_start=True), Lines(1, 60, warm_start=True)
    for plan in (parts, whole):
        train(plan, ema=ema)
    assert torch.equal(parts.learned[-1].weight, whole.learned[-1].weight)
    fresh = Lines(3, 20)
    train(fresh, ema=ema)
    assert not torch.equal(parts.learned[-1].weight, fresh.learned[-1].weight)


def test_the_average_is_an_exponential_one() -> None:
    seen: list[float] = []
    plan = Lines(n_stages=1, n_steps=6)
    begin = plan.begin

    def watched(stage: int, report) -> Stage:
        found = begin(stage, report)
        plan.at_step = lambda stage, step: seen.append(float(found.network.weight.detach()))
        return found

    plan.begin = watched  # type: ignore[method-assign]
    train(plan, ema=0.5)
    plain = Lines(n_stages=1, n_steps=6)
    train(plain)
    after = [*seen[1:], float(plain.learned[0].weight.detach())]
    expected = after[0]
    for k, value in enumerate(after[1:], 1):
        decay = min(0.5, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * value
    assert float(plan.learned[0].weight.detach()) == pytest.approx(expected, rel=1e-6)


class SaysCarriesOn:
    """A plan that knows no name but the former one."""

    carries_on = True

    def __init__(self, plan: Lines) -> None:
        self.plan = plan

    def __getattr__(self, name: str):
        if name == "warm_start":
            raise AttributeError(name)
        return getattr(self.plan, name)


def test_a_plan_may_still_say_carries_on() -> None:
    plan = Lines(2, 5, warm_start=True)
    with pytest.warns(DeprecationWarning, match="now called warm_start") as told:
        train(SaysCarriesOn(plan))
    assert len(told) == 1
    whole = Lines(1, 10, warm_start=True)
    train(whole)
    assert torch.equal(plan.learned[-1].weight, whole.learned[-1].weight)


def test_arguments_may_still_have_their_old_names(tmp_path) -> None:
    begun: list[Path] = []
    trainer = Trainer(progress=False, out=tmp_path / "run")
    with pytest.warns(DeprecationWarning, match="is now called"):
        trainer.train(course=Lines(1, 5), begun=begun.append)
    assert begun == [tmp_path / "run"]


def test_a_budget_of_steps_plans_stages(tmp_path) -> None:
    how = {"out": tmp_path / "run", "budget": "45 steps"}
    assert len(train(Lines(), **how)) == 2
    assert len(train(Lines(), resume=True, **how)) == 2
    for more, message in (
        ({"budget": "60 steps"}, r"with budget = \{'steps': 45\}, which is resumed only"),
        ({"resume": False}, "holds a run already"),
    ):
        with pytest.raises(ValueError, match=message):
            train(Lines(), **{**how, "resume": True, **more})
    assert len(train(Lines(), resume=True, out=tmp_path / "run")) == 2  # as it was planned
    train(Lines(n_stages=1), out=tmp_path / "other")
    with pytest.raises(ValueError, match="was started without a budget: leave budget out"):
        train(Lines(), out=tmp_path / "other", resume=True, budget="45 steps")


CUTS = ([1] * 60, [7, 13, 20, 20, 3], [19, 1, 21, 40], [60])


@pytest.mark.parametrize("cuts", CUTS, ids=[str(c[:4]) for c in CUTS])
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_run_that_is_cut_again_and_again_equals_one_that_is_not(
    tmp_path, cuts, warm_start
) -> None:
    how = {"ema": 0.9, "log_every": 5}
    train(Lines(warm_start=warm_start), out=tmp_path / "whole", **how)
    for cut in cuts:
        plan = Lines(warm_start=warm_start)
        left = {"out": tmp_path / "run", "resume": True, "stop_after": f"{cut} steps"}
        records = train(plan, **left, **how)
    assert [(r.step, r.inside) for r in records] == [(20, None), (40, None), (60, None)]
    for name in ("stage", "step", "loss"):
        found, wanted = ([row[name] for row in rows(tmp_path / f)] for f in ("run", "whole"))
        assert found == wanted
    whole = RunFolder(tmp_path / "whole").weights()
    assert all(torch.equal(v, whole[k]) for k, v in RunFolder(tmp_path / "run").weights().items())


def test_a_cut_keeps_what_it_has_reached(tmp_path) -> None:
    trainer = Trainer(progress=False, out=tmp_path / "run", stop_after="27 steps")
    first, second = trainer.train(Lines())
    assert trainer.report.ended == "stop_after is reached"
    assert (first.step, first.inside, second.step, second.inside) == (20, None, 27, 7)
    assert set(RunFolder(tmp_path / "run").weights()) == {"0", "1"}


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("at", [10, 20, 35])
def test_a_callback_cuts_and_the_run_resumes(tmp_path, at: int, warm_start: bool) -> None:
    """At the end of a stage, and inside one: the weights and the log of one without cuts."""
    how = {"log_every": 5, "ema": 0.9}
    seen: list[tuple[int, int, dict[str, float]]] = []
    whole = Lines(warm_start=warm_start)
    train(whole, out=tmp_path / "whole", callbacks=[lambda *row: seen.append(row)], **how)
    assert [(row[0], row[1]) for row in seen if "loss" in row[2]] == [
        (step // 20 - (step % 20 == 0), step) for step in range(5, 61, 5)
    ]
    assert all(set(row[2]) <= {"loss", "distance", "validation"} for row in seen)
    run = {"out": tmp_path / "run", "resume": True, **how}
    trainer = Trainer(progress=False, callbacks=lambda stage, step, losses: step == at, **run)
    trainer.train(Lines(warm_start=warm_start))
    assert trainer.report.ended == "a callback stopped it"
    assert trainer.report.n_steps == at
    left = Lines(warm_start=warm_start)
    train(left, **run)
    assert left.weights(3) == whole.weights(3)
    logs = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows(tmp_path / name)]
        for name in ("whole", "run")
    ]
    assert logs[0] == logs[1]


def test_a_model_keeps_what_a_callback_leaves() -> None:
    data = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    model = FlowMatching(batch_size=16)
    model.fit(data, callbacks=lambda stage, step, losses: step >= 40, progress=False)
    assert model.report.ended == "a callback stopped it"
    assert 40 <= model.report.n_steps < 200
    assert model.sample(3, rng=0).shape == (3, 2)


class Wandb:
    """What Weights & Biases asks of a run: numbers by names, and steps that do not fall."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def init(self, project: str) -> Wandb:
        return self

    def log(self, data: dict[str, float], *, step: int) -> None:
        assert type(step) is int
        assert step >= (self.rows[-1][0] if self.rows else 0)
        assert all(type(k) is str and isinstance(v, float | int) for k, v in data.items())
        self.rows.append((step, data))


def test_a_callback_for_weights_and_biases(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Wandb())
    import wandb

    run = wandb.init(project="lines")
    how = {"out": tmp_path / "run", "log_every": 5}
    train(Lines(), callbacks=lambda stage, step, losses: run.log(losses, step=step), **how)
    logged = [(int(row["step"]), row["loss"]) for row in rows(tmp_path / "run")]
    told = [
        (step, f"{losses['loss']:.6g}" if "loss" in losses else "") for step, losses in run.rows
    ]
    assert told == logged
    assert sum("loss" in losses for _, losses in run.rows) == 12  # of 60 steps


def test_callbacks_must_be_callable() -> None:
    for strange in ("x", 1, [print, None], None):
        with pytest.raises(TypeError, match="callbacks must be callable"):
            Trainer(callbacks=strange)
    with pytest.raises(RuntimeError, match="mine"):
        train(Lines(), callbacks=[_raises], log_every=5)
    with pytest.raises(TypeError, match="must return something true or false, got ndarray"):
        train(Lines(), callbacks=lambda *row: np.ones(2), log_every=5)


def _raises(stage: int, step: int, losses: dict[str, float]) -> None:
    raise RuntimeError("mine")


def test_a_run_that_is_resumed_without_budget_for_a_step_stays_as_it_is(tmp_path) -> None:
    how = {"out": tmp_path / "run", "resume": True, "budget": 600.0}
    with pytest.raises(Interrupt):
        train(Lines(at_step=interrupt_at((0, 8))), checkpoint_every=7, **how)
    (file,) = (tmp_path / "run" / "checkpoints").glob("000000-*/record.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 601.0}))
    before = file.read_text()
    trainer = Trainer(progress=False, **how)
    (cut,) = trainer.train(Lines())
    assert (cut.step, cut.inside) == (7, 7)
    assert trainer.report.ended == "the budget is spent"
    assert file.read_text() == before
    assert set(RunFolder(tmp_path / "run").weights()) == {"0"}


def test_a_checkpoint_may_be_due_at_the_step_of_a_cut(tmp_path) -> None:
    how = {"out": tmp_path / "run", "checkpoint_every": 5, "resume": True}
    (cut,) = train(Lines(), stop_after="10 steps", **how)
    assert (cut.step, cut.inside) == (10, 10)
    whole, again = Lines(), Lines()
    train(whole)
    train(again, **how)
    assert again.weights(3) == whole.weights(3)


def test_seconds_of_a_call() -> None:
    (record,) = train(Lines(n_stages=1, n_steps=10**9), stop_after=0.2)
    assert 0 < record.step < 10**6
    assert record.seconds > 0.1  # less one step, which is longer on a busy machine


def test_seconds_count_from_the_start_of_a_training_or_of_its_preparation() -> None:
    trainer, how = Trainer(progress=False, stop_after=60.0), {"n_stages": 1, "n_steps": 5}
    trainer.train(Lines(**how))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("trainer", "run"):
            an_hour_later = f"energyflow.models.training.{module}.perf_counter"
            patch.setattr(an_hour_later, lambda: time.perf_counter() + 3600)
        (record,) = trainer.train(Lines(**how))
    assert (record.step, record.inside) == (5, None)
    assert record.seconds < 60
    (record,) = trainer.train(Lines(**how), start=time.perf_counter() - 61)
    assert (record.step, record.inside) == (1, 1)
    assert record.seconds > 61


def test_a_budget_of_seconds() -> None:
    def slow(stage: int, step: int) -> None:
        time.sleep(0.01)

    assert len(train(Lines(n_stages=50, n_steps=5, at_step=slow), budget=0.3)) < 10
    (record,) = train(Lines(n_stages=1, n_steps=10**9), budget=0.2)
    assert 0 < record.step < 10**6
    assert record.seconds > 0.1  # less one step, which is longer on a busy machine


@pytest.mark.parametrize("limit", ["budget", "stop_after"])
def test_some_step_is_always_trained(limit: str) -> None:
    (record,) = train(Lines(), **{limit: 1e-9})
    assert (record.step, record.inside) == (1, 1)


@pytest.mark.parametrize("below", [0.0, 1.5, 10.0])
def test_no_improvement_ends_the_training_and_the_best_is_kept(tmp_path, below: float) -> None:
    """Unbiased distances may be negative: the least one is the best."""
    distances = [number - below for number in (3.0, 1.0, 2.0, 1.5, 0.1)]
    plan = Lines(n_stages=5, distances=distances)
    records = train(plan, patience=2, out=tmp_path / "run")
    assert len(plan.learned) == 4
    assert [record.numbers["distance"] for record in records] == distances[:2]
    assert set(RunFolder(tmp_path / "run").weights()) == {"0", "1"}


def nearest_to(weight: float, every: int = 1, patience: int | None = None) -> Validation:
    """A validation loss that is least where the line has this slope."""
    return Validation(
        lambda network: abs(float(network.weight.detach()) - weight), every, patience, cost=1.0
    )


def test_the_best_weights_are_kept_and_logged(tmp_path) -> None:
    seen: list[float] = []

    def loss(network) -> float:
        seen.append(float(network.weight.detach()))
        return abs(seen[-1] - 0.5)

    plan = Lines(n_stages=1, validation=Validation(loss, 3, None, cost=1.0))
    trainer = Trainer(progress=False, out=tmp_path / "run")
    (record,) = trainer.train(plan)
    assert record.step == 20
    assert len(seen) == 7  # after 3, 6, ..., 18 and 20 steps
    best = min(seen, key=lambda weight: abs(weight - 0.5))
    assert float(plan.learned[0].weight.detach()) == best != seen[-1]
    found = [float(row["validation"]) for row in rows(tmp_path / "run") if row["validation"]]
    assert found == pytest.approx([abs(weight - 0.5) for weight in seen], rel=1e-5)
    assert trainer.report.best[1] == abs(best - 0.5)
    assert "the only stage is trained (20 steps" in str(trainer.report)
    assert "the best is kept" in str(trainer.report)
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    assert (tmp_path / "run" / "losses.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("warm_start", [False, True])
def test_training_ends_when_the_validation_loss_falls_no_more(tmp_path, warm_start) -> None:
    """With a warm start the stages are one training, which is over; else it is each stage."""
    plan = Lines(validation=nearest_to(0.5, patience=4), warm_start=warm_start)
    how = {"out": tmp_path / "run", "progress": False}
    records = Trainer(**how).train(plan)
    assert len(records) == (1 if warm_start else 3)
    assert records[0].step < 15
    again = Trainer(resume=True, **how)
    found = again.train(Lines(validation=nearest_to(0.5, patience=4), warm_start=warm_start))
    assert [r.step for r in found] == [r.step for r in records]
    assert again.report.ended.startswith("the validation loss" if warm_start else "all 3 stages")


@pytest.mark.parametrize("warm_start", [False, True])
def test_validation_survives_cuts(tmp_path, warm_start) -> None:
    def plan() -> Lines:
        return Lines(validation=nearest_to(0.6, 2, patience=30), warm_start=warm_start)

    alone = Trainer(progress=False, ema=0.5, out=tmp_path / "whole")
    alone.train(plan())
    how = {"out": tmp_path / "run", "resume": True, "stop_after": "3 steps", "ema": 0.5}
    ended = "stop_after is reached"
    while ended == "stop_after is reached":
        trainer = Trainer(progress=False, **how)
        trainer.train(plan())
        ended = trainer.report.ended
    assert trainer.report.best == pytest.approx(alone.report.best, rel=1e-5)
    assert [step for step, _ in trainer.report.validation] == [
        step for step, _ in alone.report.validation
    ]
    for name in ("stage", "step", "loss", "validation"):
        found, wanted = ([row[name] for row in rows(tmp_path / f)] for f in ("run", "whole"))
        assert found == wanted
    kept, wanted = (RunFolder(tmp_path / f).weights() for f in ("run", "whole"))
    assert all(torch.equal(v, wanted[k]) for k, v in kept.items())


@pytest.mark.parametrize("ends", [True, False])
def test_plateaus_divide_the_learning_rate_before_training_ends(tmp_path, ends: bool) -> None:
    rates: list[float] = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    def train_for(stop_after: str | None) -> Trainer:
        best_at_first = Validation(
            lambda network: len(rates), 1, 3, cost=1.0, reductions=2, ends=ends
        )
        trainer = Trainer(
            out=tmp_path / "run", resume=True, stop_after=stop_after, progress=False,
            optimizer=lambda parameters, rate: Watched(parameters, lr=rate),
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("energyflow.models.training.trainer.warnings.warn", lambda *a, **k: None)
            trainer.train(Lines(n_stages=1, validation=best_at_first))
        return trainer

    train_for("5 steps")
    assert train_for(None).report.n_steps == (10 if ends else 20)
    assert rates == pytest.approx([0.1] * 4 + [0.02] * 3 + [0.004] * (3 if ends else 13))


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("decay", ["plateau", "cosine"])
def test_early_stopping_changes_when_training_ends_and_nothing_else(decay, early_stopping) -> None:
    settings = FlowMatching(learning_rate_decay=decay, early_stopping=early_stopping).settings
    assert settings.validated(10_000, 1.0) == {
        "every": 100,
        "patience": 400 if decay == "plateau" else 1000,
        "reductions": 2 if decay == "plateau" else 0,
        "ends": early_stopping,
    }


def test_weights_decay_where_nothing_pulls_them() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = adam([weight], 0.1, weight_decay=0.5)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert float(weight.detach()) == pytest.approx(2 * (1 - 0.1 * 0.5))
    assert type(adam([weight], 0.1)) is torch.optim.Adam


def shared(n: int, labels: np.ndarray | None, share: float = 0.1, seed: int = 0, least: int = 1):
    points = np.arange(n, dtype=np.float32)[:, None]
    whole = TrainingSet.of(points, labels, standardised=True, given_network=False, name=None)
    part, held = whole.shared(share, seed, least)
    rows = [] if held is None else np.rint(whole.scaling.undo(held[0])[:, 0].numpy()).tolist()
    return np.rint(whole.scaling.undo(part.points)[:, 0].numpy()).tolist(), rows


def test_a_share_of_the_data_is_held_out() -> None:
    mine, held = shared(100, None)
    assert len(held) == 10
    assert sorted(mine + held) == list(range(100))
    assert shared(100, None) == (mine, held)
    assert shared(100, None, seed=1)[1] != held
    for n, share in ((19, 0.5), (100, 0.0), (30, 0.05)):
        assert shared(n, None, share) == (list(range(n)), [])


@pytest.mark.parametrize("least", [1, 2])
def test_classes_stay_in_training(least: int) -> None:
    labels = np.arange(100) // 3  # 34 of them
    mine, held = shared(100, labels, 0.5, least=least)
    assert held
    counts = np.bincount(labels[np.array(mine, int)], minlength=34)
    assert (counts >= np.minimum(least, np.bincount(labels))).all()


def test_what_a_report_says() -> None:
    falling = TrainingReport("done", 40, 2.0, [(10 * k, 4.0 - k) for k in range(1, 4)])
    assert falling.still_falling
    assert falling.best == (30, 1.0)
    assert str(falling) == (
        "done (40 steps, 2 s); validation loss 3 at step 10, best 1 at step 30, still falling: "
        "more steps may help"
    )
    risen = TrainingReport("done", 40, 2.0, [(10, 1.0), (20, 2.0), (30, 3.0)])
    assert risen.rose_at_once
    assert not risen.still_falling
    assert str(risen).endswith("best 1 at step 10, 3 at the end: the best is kept")
    assert str(TrainingReport("done", 40, 2.0)) == "done (40 steps, 2 s); no validation loss"


def test_a_loss_that_rises_at_once_is_a_warning() -> None:
    plan = Lines(n_stages=1, validation=nearest_to(-1.0, patience=10))
    with pytest.warns(UserWarning, match="the validation loss rose from the first steps on"):
        train(plan)
    assert float(plan.learned[0].weight.detach()) < 0.2


def test_the_gradient_is_clipped() -> None:
    def sgd(parameters, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=rate)

    plan = Lines(n_stages=1, n_steps=1, scale=1e6)
    train(plan, clip=1.0, optimizer=sgd)
    assert float(plan.learned[0].weight.detach()) == pytest.approx(0.1, rel=1e-4)


def test_divergence_is_reported() -> None:
    with pytest.raises(TrainingDiverged, match="not finite at step 20 of stage 0") as caught:
        train(Lines(scale=math.inf))
    assert (caught.value.stage, caught.value.step) == (0, 20)


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ValueError, match="is not empty and holds no run"):
            train(Lines(), out=tmp_path, resume=resume)
    with pytest.raises(NotADirectoryError):
        train(Lines(), out=tmp_path / "thesis.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_is_not_replaced(tmp_path) -> None:
    train(Lines(), out=tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run already"):
        train(Lines(), out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"n_steps = 20, which is resumed only .* got 5"):
        train(Lines(n_steps=5), out=tmp_path / "run", resume=True)


def test_a_run_does_not_shrink(tmp_path) -> None:
    train(Lines(), out=tmp_path / "run")
    before = (tmp_path / "run" / "settings.json").read_bytes()
    shorter = Lines(n_stages=2)
    shorter.settings = {**shorter.settings, "n_blocks": 2}
    with pytest.raises(ValueError, match="holds 3 finished stages, more than the 2 asked for"):
        train(shorter, out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "settings.json").read_bytes() == before


def test_a_longer_run_leaves_its_old_end_behind(tmp_path) -> None:
    train(Lines(n_stages=1), out=tmp_path / "run")
    with pytest.raises(Interrupt):
        train(Lines(at_step=interrupt_at((2, 3))), out=tmp_path / "run", resume=True)
    assert {"networks.0.weight", "networks.1.weight"} <= set(RunFolder(tmp_path / "run").weights())


def test_what_a_killed_start_left_is_in_nobodys_way(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".settings.1234abcd.part.json").write_bytes(b"{")
    train(Lines(), out=tmp_path / "run")
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("name", ["patience", "log_every", "checkpoint_every"])
def test_counts_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Trainer(**{name: 0})


def test_patience_without_distances_keeps_everything() -> None:
    assert len(train(Lines(), patience=1)) == 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("settings.json", b"{", r"settings\.json: expected JSON"),
        ("settings.json", b"[1]", "expected an object of JSON, got list"),
        ("settings.json", b'{"format": 99}', "expected format 1, got 99"),
        ("checkpoints/000000/record.json", b"{}", "expected the record of a stage"),
        ("checkpoints/000001/record.json", None, "no such file"),
        (
            "checkpoints/000000/record.json",
            b'{"stage": 0, "step": "x", "seconds": 1, "inside": null, "numbers": {}}',
            "expected the record of a stage",
        ),
        (
            "checkpoints/000002/state.safetensors",
            b"\x02" + b"\0" * 7 + b"{}",
            "state after stage 2 lacks 'total'",
        ),
        ("checkpoints/000001/network.safetensors", b"\0" * 40, "expected a whole safetensors file"),
        ("checkpoints/000002/state.safetensors", b"", "expected a whole safetensors file"),
        ("checkpoints/000002/state.safetensors", None, "no such file"),
    ],
)
def test_damaged_files_are_named(tmp_path, file: str, content, message: str) -> None:
    train(Lines(), out=tmp_path / "run")
    (tmp_path / "run" / file).unlink()
    if content is not None:
        (tmp_path / "run" / file).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        train(Lines(), out=tmp_path / "run", resume=True)
    told = f"{caught.value} {getattr(caught.value, 'filename', '')}"
    assert Path(file).name in told or Path(file).stem in told


def test_what_is_no_run_is_not_loaded(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    bare = "a folder without settings.json"
    for name, found in {"empty": bare, "file": "no folder", "none": "no folder"}.items():
        with pytest.raises(FileNotFoundError, match=f"trained model, got {found}") as caught:
            load(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)


def test_a_damaged_log_keeps_its_whole_rows(tmp_path) -> None:
    train(Lines(2), out=tmp_path / "run", log_every=10)
    file = tmp_path / "run" / "log.csv"
    whole = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*whole[:2], b"\xff\0\0,1", b'"' + b"x" * 200_000, whole[2]]))
    train(Lines(3), out=tmp_path / "run", resume=True, log_every=10)
    assert file.read_bytes().splitlines()[:3] == whole[:3]
    found = [int(row["step"]) for row in rows(tmp_path / "run") if row["loss"]]
    assert found == [10, 20, 50, 60]


def test_every_cut_of_a_file_is_noticed(tmp_path) -> None:
    train(Lines(n_stages=1), out=tmp_path / "run")
    file = tmp_path / "run" / "weights.safetensors"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="expected a whole safetensors file"):
            RunFolder(tmp_path / "run").weights()


def test_settings_name_the_model_and_the_format(tmp_path) -> None:
    train(Lines(), out=tmp_path / "run")
    found = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert found == {"model": "lines", "n_steps": 20, "format": 1}
    with pytest.raises(ValueError, match="expected the model 'flow', got 'lines'"):
        RunFolder(tmp_path / "run").settings("flow")


def test_tensorboard_gets_the_rows(tmp_path, monkeypatch) -> None:
    calls: list[tuple[str, float, int]] = []

    class Board:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path / "run" / "tensorboard")
            calls.append(("purged", purge_step, 0))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

        def close(self) -> None:
            calls.append(("closed", 0, 0))

    monkeypatch.setattr(
        "energyflow.models.training.log._board", lambda folder, step: Board(str(folder), step)
    )
    train(Lines(n_stages=1, distances=[2.5]), out=tmp_path / "run", log_every=10)
    assert [call for call in calls if call[0] == "distance"] == [("distance", 2.5, 20)]
    assert [call[2] for call in calls if call[0] == "loss"] == [10, 20]
    assert calls[-1][0] == "closed"
    train(Lines(n_stages=2), out=tmp_path / "run", resume=True)
    assert [call[1] for call in calls if call[0] == "purged"] == [1, 21]
