"""What data and device decide where nothing is said, what a fit says of it, and what it costs."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import pytest

from energyflow._core import progress as _progress
from energyflow.models import DMMD, MLP, FlowGenerator, FlowMatching, Model, Pyramid, Trainer, UNet
from energyflow.models.flow_generator.stages import FlowPlan

KINDS: list[type[Model[Any]]] = [FlowGenerator, DMMD, FlowMatching]
RNG = np.random.default_rng(0)
FEW, SMALL = (RNG.random((24, 1, side, side), np.float32) for side in (20, 16))
MANY = RNG.random((1000, 1, 17, 17), np.float32)
LARGE = RNG.random((1000, 1, 65, 65), np.float32)


@pytest.fixture
def planned(monkeypatch):
    """The plan of a fit that ends before its first step."""
    pytest.importorskip("diffusers", reason="diffusers is an extra")
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

    def planned(model: Model[Any], *data: Any, **how: Any) -> Any:
        found = []

        def stop(trainer: Trainer, plan: Any, *given: Any, **more: Any) -> None:
            found.append(plan)
            raise KeyboardInterrupt

        monkeypatch.setattr(Trainer, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*data, **how)
        return found[0]

    return planned


@pytest.mark.parametrize("kind", [FlowGenerator, DMMD])
def test_images_that_are_learned_as_they_are_by_their_size_or_number_are_told(
    kind: type[Model[Any]], planned, capsys
) -> None:
    for images, reason in (
        (FEW, "there are fewer than 1000"),
        (LARGE, "they have more than 4096 numbers"),
    ):
        planned(kind(device="cpu"), images)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"images are learned pixel by pixel, for {reason}: samples of {kind.__name__} keep "
            "grains on a CPU; set components=0.97, or take FlowMatching"
        )


def test_nothing_is_told_where_it_is_known_or_needs_no_change(planned, capsys) -> None:
    for model, images, condition in (
        (FlowGenerator(device="cpu"), MANY, None),
        (FlowGenerator(device="cpu"), SMALL, None),
        (FlowGenerator(device="cpu", components=1), FEW, None),
        (FlowGenerator(device="cpu", architecture=UNet(8, (1, 2))), FEW, None),
        (FlowGenerator(device="cpu"), FEW, RNG.random((24, 2))),
        (FlowGenerator(
            device="cpu", architecture=UNet(8, (1, 2)), pyramid=Pyramid(
                (4, 20), (1, 1), step_sizes=(1, 1), momenta=(0, 0), first_exponents=(1, 1)
            )
        ), FEW, None),
        (FlowMatching(device="cpu"), FEW, None),
    ):  # fmt: skip
        planned(model, images, condition)
        assert capsys.readouterr().err == ""
    planned(FlowGenerator(device="cpu"), FEW, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_few_samples_of_images_are_validated_on_cpus(kind: type[Model[Any]], planned) -> None:
    """Sampling 2000 by a convolutional network may take longer than a round of training."""

    def n_samples(images: np.ndarray, how: Any = None, **settings: Any) -> int:
        model = kind(device="cpu", **settings)
        found = planned(model, images, progress=False, **(how or {})).validator.n_samples
        return int(found)

    assert n_samples(FEW) == 250
    assert n_samples(FEW, {"budget": "50 steps"}) == 250
    assert n_samples(FEW, {"budget": "50 s"}) == 2000  # at most: the plan measures what fits
    assert n_samples(FEW, {"n_validation": 700}) == 700
    assert n_samples(FEW, components=0.9) == 2000
    assert n_samples(FEW, architecture=MLP(8, 1)) == 2000
    assert n_samples(SMALL) == 2000
    assert n_samples(FEW[:, 0, 0]) == 2000


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _told(model: Model[Any], *data: Any, **how: Any) -> tuple[Model[Any], str]:
    """The fitted model, and what is seen on a terminal meanwhile."""
    terminal = _Terminal()
    with redirect_stderr(terminal):
        model.fit(*data, n_validation=4, **how)
    return model, terminal.getvalue()


@pytest.mark.parametrize(
    ("kind", "preset", "small", "words"),
    [
        (FlowGenerator, "mnist", {"n_blocks": 2, "n_particles": 30}, "2 blocks of about "),
        (DMMD, "paper", {"n_rounds": 2, "n_reference": 20}, "2 rounds of about "),
        (FlowMatching, "cifar10", {"n_rounds": 2, "coupling_size": 4}, "2 rounds of about "),
    ],
)
def test_a_preset_that_was_not_run_here_says_what_it_takes(
    kind: type[Model[Any]], preset: str, small: dict[str, Any], words: str, tmp_path
) -> None:
    """And the measured steps change nothing."""
    if kind is FlowMatching:
        pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")
    points = RNG.random((30, 2), np.float32)
    settings = {**small, "n_steps": 6, "architecture": MLP(8, 1), "device": "cpu"}
    _, text = _told(kind(preset=preset, **settings), points, out=tmp_path, stop_after="2 steps")
    assert f"plan: {words}" in text
    assert "; in all about " in text
    resumed, text = _told(kind(preset=preset, **settings), points, out=tmp_path, resume=True)
    assert "plan: " not in text
    whole = kind(preset=preset, **settings).fit(points, n_validation=4, progress=False)
    np.testing.assert_array_equal(resumed.sample(3, rng=0), whole.sample(3, rng=0))
    assert "plan: " not in _told(kind(**settings), points)[1]


def test_what_a_flow_generator_takes_is_counted_at_each_resolution(planned, monkeypatch) -> None:
    """A step of the flow takes as many seconds as an image has pixels, one of a network two."""
    monkeypatch.setattr(
        FlowPlan, "_seconds_of_a_flow",
        lambda plan, block: lambda n: n * float(np.prod(plan._particles.shape[1:])),
    )  # fmt: skip
    pyramid = Pyramid((4, 20), (2, 1), step_sizes=(1, 1), momenta=(0, 0), first_exponents=(1, 2))
    settings: dict[str, Any] = {"architecture": UNet(8, (1, 2)), "n_particles": 10, "n_steps": 5}
    plan = planned(FlowGenerator(device="cpu", pyramid=pyramid, **settings), FEW)
    particles = plan._particles
    found = plan.estimate(lambda stage: 2.0)
    lengths = [block.n_steps for block in plan.chain.blocks]
    flow = 16 * sum(lengths[:2]) + 400 * lengths[2]
    assert found == {"n_blocks": 3, "n_steps": 5, "seconds": flow + 3 * 5 * 2}
    assert plan._particles is particles


def test_the_bar_says_how_far_the_flow_is(monkeypatch) -> None:
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    settings: dict[str, Any] = {"n_blocks": 2, "n_particles": 30, "n_steps": 3, "first_exponent": 5}
    text = _told(FlowGenerator(device="cpu", **settings), RNG.random((30, 2), np.float32))[1]
    for where in ("block 1 of 2: flow, step 30 of 32", "block 2 of 2: flow, step 88 of 96"):
        assert f"training flow, {where}" in text
    assert text.rindex("training flow: ") > text.rindex("flow, step")
