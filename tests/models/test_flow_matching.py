"""Flow matching: what is learned, couplings, solvers, guidance, likelihoods, and saying no."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("torchdiffeq", reason="torchdiffeq is an extra")

import energyflow as ef
from energyflow.models import MLP, FlowMatching, FlowMatchingSettings, SamplingDiverged, load
from energyflow.models.flow_matching.batches import Batches

TINY = {
    "n_steps": 300, "n_rounds": 3, "batch_size": 64, "ema": 0.9, "sampling_steps": 8,
    "architecture": MLP(width=32, depth=1),
}  # fmt: skip


def fitted(data, *args, **changes) -> FlowMatching:
    how = {k: changes.pop(k) for k in ("out", "resume", "budget", "stop_after") if k in changes}
    return FlowMatching(**{**TINY, **changes}).fit(data, *args, progress=False, **how)


@pytest.fixture(scope="module")
def classes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    points = 50 * labels[:, None] + 5 * rng.normal(size=(400, 2)) + 100
    return points.astype(np.float32), labels


@pytest.fixture(scope="module")
def of_classes(classes) -> FlowMatching:
    return fitted(*classes, n_steps=600, condition_dropout=0.2)


# -- what is learned -----------------------------------------------------------------------------


@pytest.mark.parametrize("coupling", ["none", "ot", "conditional-ot"])
def test_samples_have_the_distribution_of_the_data(coupling: str) -> None:
    rng = np.random.default_rng(1)
    points = (np.array([[3.0, -1]]) * rng.choice([-1, 1], (500, 1))).astype(np.float32)
    points += 0.3 * rng.normal(size=points.shape).astype(np.float32)
    samples = fitted(points, coupling=coupling).sample(500, rng=0)
    assert samples.dtype == np.float32
    normal = (rng.normal(size=(500, 2)) * points.std(0)).astype(np.float32)
    distances = [float(ef.energy_distance(cloud, points)) for cloud in (samples, normal)]
    assert distances[0] < 0.2 * distances[1]


def test_classes_are_what_was_asked(of_classes) -> None:
    asked = np.arange(90) % 3
    found = np.rint((of_classes.sample(90, asked, rng=2).mean(axis=1) - 100) / 50)
    assert np.mean(found == asked) > 0.9


def test_guidance_exaggerates(of_classes) -> None:
    plain, guided = (of_classes.sample(300, 0, rng=0, guidance=w).mean() for w in (1.0, 3.0))
    assert guided < plain - 2


@pytest.mark.parametrize(
    ("solver", "n_steps"), [("euler", 200), ("midpoint", 40), ("rk4", 10), ("dopri5", 1)]
)
def test_solvers_agree(of_classes, solver: str, n_steps: int) -> None:
    exact = of_classes.sample(50, 1, rng=0, solver="rk4", n_steps=50)
    found = of_classes.sample(50, 1, rng=0, solver=solver, n_steps=n_steps)
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact - exact.mean()).max() + 0.5


def test_the_likelihood_is_a_density_and_the_right_one() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2000, 1)).astype(np.float32)
    x = 10 + 3 * y + 4 * rng.normal(size=(2000, 1)).astype(np.float32)
    model = fitted(x, y, n_steps=700, ema=0.98)
    grid = np.linspace(-30, 50, 400, dtype=np.float32)[:, None]
    density = np.exp(model.log_likelihood(grid, np.array([1.0])))
    assert density.shape == (400,)
    assert float(density.sum() * (grid[1, 0] - grid[0, 0])) == pytest.approx(1, abs=0.01)
    true = np.exp(-((grid[:, 0] - 13) ** 2) / 32) / (4 * np.sqrt(2 * np.pi))
    assert np.abs(density - true).max() < 0.25 * true.max()


def test_likelihoods_can_be_differentiated(of_classes, classes) -> None:
    points, labels = torch.tensor(classes[0][:5], dtype=torch.float64), classes[1][:5]
    how = {"solver": "rk4", "n_steps": 4}
    points.requires_grad_()
    (slopes,) = torch.autograd.grad(of_classes.log_likelihood(points, labels, **how).sum(), points)
    for k in range(2):
        step = 0.05 * torch.eye(2, dtype=torch.float64)[k]
        ends = [
            torch.as_tensor(of_classes.log_likelihood(points.detach() + sign * step, labels, **how))
            for sign in (1, -1)
        ]
        expected = (ends[0] - ends[1]) / 0.1
        torch.testing.assert_close(slopes[:, k].float(), expected, rtol=0.05, atol=2e-3)


class Steep(torch.nn.Module):
    """A velocity that is nothing while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return self.zero * x if self.training else self.zero + 1e4 * x**3


@pytest.mark.parametrize("solver", ["dopri5", "midpoint"])
def test_samples_that_diverge_are_an_error(classes, solver: str) -> None:
    model = FlowMatching(Steep(), n_steps=1, n_rounds=1, sampling_steps=1, solver="euler")
    model.fit(classes[0], n_validation=2, progress=False)
    with pytest.raises(SamplingDiverged, match="sampling diverged: ") as caught:
        model.sample(20, rng=0, solver=solver, n_steps=100)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_float64_stays_float64_far_from_zero(tmp_path) -> None:
    seconds = 1.7e9 + np.random.default_rng(0).normal(size=(200, 2))
    model = fitted(seconds, seconds, n_steps=20)
    model.save(tmp_path / "model")
    for each in (model, FlowMatching.load(tmp_path / "model")):
        samples = each.sample(50, seconds[0], rng=0)
        assert samples.dtype == np.float64
        assert len(np.unique(samples)) == samples.size  # float32 knows only every 128th second


def test_likelihoods_go_in_parts(of_classes, classes, monkeypatch) -> None:
    how = {"solver": "rk4", "n_steps": 2}
    points, labels = (v[:20] for v in classes)
    whole = of_classes.log_likelihood(points, labels, **how)
    seen = []
    monkeypatch.setattr("energyflow.models._networks.PART", 7)
    network = of_classes._trained.networks.velocity.network
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = of_classes.log_likelihood(points, labels, **how)
    hook.remove()
    np.testing.assert_allclose(found, whole, rtol=1e-5)
    assert set(seen) == {1, 7, 6}  # the first to see what memory a point takes


def test_image_conditions(tmp_path) -> None:
    images = np.random.default_rng(0).random((60, 1, 4, 4), np.float32)
    model = fitted(images, images[:, :, :2], condition_dropout=0.1, n_steps=20)
    assert model.sample(3, images[0, :, :2], rng=0).shape == (3, 1, 4, 4)


@pytest.fixture(scope="module")
def of_several() -> FlowMatching:
    """Points near (10 label, 10 level), whatever order the names have."""
    rng = np.random.default_rng(2)
    labels, level = rng.integers(2, size=600), rng.normal(size=(600, 1)).astype(np.float32)
    points = np.hstack([10 * labels[:, None], 10 * level]) + rng.normal(size=(600, 2))
    given = {"class": labels, "level": level}
    return fitted(points.astype(np.float32), given, n_steps=600, ema=0.98)


def test_several_conditions_at_once(of_several, tmp_path) -> None:
    samples = of_several.sample(400, {"level": np.array([0.7]), "class": 1}, rng=0)
    assert samples.mean(0) == pytest.approx([10, 7], abs=1.5)
    assert samples.std(0).max() < 4
    each = {"class": np.array([0, 1, 1]), "level": np.zeros((3, 1), np.float32)}
    assert of_several.sample(3, each, rng=0).shape == (3, 2)
    of_several.save(tmp_path / "model")
    again = load(tmp_path / "model").sample(3, each, rng=0)
    np.testing.assert_array_equal(again, of_several.sample(3, each, rng=0))


def test_bad_dicts_of_conditions(of_several) -> None:
    points = np.zeros((4, 2), np.float32)
    labels, maps = np.arange(4), np.zeros((4, 1, 2, 2))
    for condition, error, message in (
        ({}, ValueError, "at least one entry"),
        ({1: labels}, TypeError, "names for keys, got 1"),
        ({"a": labels, "b": maps}, ValueError, r'condition\["b"\] must be labels .* or vectors'),
        ({"a": labels[:3]}, ValueError, r'condition\["a"\] must have one entry for each of the 4'),
    ):
        with pytest.raises(error, match=message):
            fitted(points, condition)
    for condition, error, message in (
        (1, TypeError, "must be a dict of class, level, got int"),
        ({"class": 1}, ValueError, "must have the entries class, level, got class"),
        ({"class": 1, "level": 2}, ValueError, r'condition\["level"\] must have shape'),
        ({"class": 7, "level": [1.0]}, ValueError, r'condition\["class"\] must be labels from 0'),
        (None, ValueError, "must be given: class, level were learned"),
    ):
        with pytest.raises(error, match=message):
            of_several.sample(1, condition)


def test_posteriors_of_a_problem(tmp_path) -> None:
    from energyflow.inverse import Gaussian, Linear, PosteriorFlow

    model = FlowMatching(**{**TINY, "n_steps": 600, "ema": 0.98})
    line = PosteriorFlow(Linear([1.0]) + Gaussian(0.5), model)
    x = np.random.default_rng(5).normal(size=(1000, 1)).astype(np.float32)
    line.fit(x, rng=0, progress=False)
    samples = line.sample(np.array([0.5]), 2000, rng=0).samples
    assert samples.mean() == pytest.approx(0.4, abs=0.2)
    assert samples.std() == pytest.approx(0.447, abs=0.1)
    line.save(tmp_path / "run")
    again = PosteriorFlow.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(again.sample(np.zeros(1), 9, 1).samples.shape, (9, 1))
    assert isinstance(again.model, FlowMatching)


# -- couplings of batches ------------------------------------------------------------------------


def batches(coupling: str, *, labels: bool, **changes) -> Batches:
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.normal(size=(500, 1)).astype(np.float32))
    how = {"kept": y}
    if labels:
        how = {"groups": torch.from_numpy(rng.integers(3, size=500))}
        y = torch.nn.functional.one_hot(how["groups"]).float()
    x = torch.cat([y[:, :1], torch.randn(500, 1, generator=torch.Generator().manual_seed(0))], 1)
    options = FlowMatchingSettings(coupling=coupling, **{"batch_size": 64, **changes})
    return Batches(x, y, options, **how, device=torch.device("cpu"))


@pytest.mark.parametrize("labels", [False, True])
def test_couplings_shorten_ways_and_only_one_of_them_minds_conditions(labels: bool) -> None:
    def of(coupling: str) -> tuple[float, float, float]:
        found = [batches(coupling, labels=labels, beta=20.0)(step) for step in range(20)]
        length = np.mean([float((b.data - b.noise).square().sum(1).mean()) for b in found])
        blur = np.mean([float((b.data[:, 0] - b.condition[:, 0]).abs().max()) for b in found])
        noise, given = (torch.cat([getattr(b, n) for b in found]) for n in ("noise", "condition"))
        follows = abs(float(np.corrcoef(noise[:, 0], given[:, 0])[0, 1]))
        return length, blur, follows

    none, plain, kept = of("none"), of("ot"), of("conditional-ot")
    assert plain[0] < kept[0] < none[0]
    assert none[1] == plain[1] == 0
    assert kept[1] == 0 if labels else kept[1] < 0.3
    assert plain[2] > 0.3 > 0.1 > max(none[2], kept[2])


def test_batches_are_functions_of_the_step() -> None:
    first, again = (batches("conditional-ot", labels=False) for _ in range(2))
    other = again(3)
    assert torch.equal(first(4).data, again(4).data)
    assert not torch.equal(other.data, again(4).data)


def test_a_batch_in_parts_stays_inside_them() -> None:
    together, parts = (batches("ot", labels=False, coupling_size=k)(0) for k in (64, 10))
    assert not torch.equal(together.data, parts.data)
    places = parts.data[:, 0].sort().values
    assert torch.equal(places, together.data[:, 0].sort().values)
    ten = [b.data[:10, 0].sort().values for b in (parts, batches("none", labels=False)(0))]
    assert torch.equal(*ten)


def test_one_coupling_serves_several_steps() -> None:
    """Noise of a coupling of four batches is that of four steps, and so are the data."""
    whole = batches("conditional-ot", labels=False, batch_size=64, coupling_size=64)(0)
    quarters = batches("conditional-ot", labels=False, batch_size=16, coupling_size=70)
    steps = [quarters(k) for k in range(4)]
    for name in ("noise", "data", "condition"):
        found = torch.cat([getattr(batch, name) for batch in steps])
        assert torch.equal(found, getattr(whole, name))
    for batch in steps:  # times are stratified over each batch
        assert torch.equal((batch.time * 16).int(), torch.arange(16).int())
    again = batches("conditional-ot", labels=False, batch_size=16, coupling_size=70)
    assert torch.equal(again(2).noise, steps[2].noise)
    assert not torch.equal(quarters(4).noise, steps[0].noise)


def test_batches_are_the_same_when_made_in_the_background(monkeypatch) -> None:
    found = []
    for count in (1, 8):
        monkeypatch.setenv("ENERGYFLOW_NUM_THREADS", str(count))
        source = batches("conditional-ot", labels=True, batch_size=32, coupling_size=64)
        with source.until(11):
            found.append([source(step) for step in range(11)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.noise, other.noise)
        assert torch.equal(one.data, other.data)
        assert torch.equal(one.time, other.time)


# -- runs ----------------------------------------------------------------------------------------


def test_a_loaded_model_chooses_anew_for_other_data(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    model = FlowMatching(n_rounds=1, architecture=MLP(width=8, depth=1))
    model.fit(x, x[:, :1], out=tmp_path / "run", budget="2 steps", progress=False)
    model.save(tmp_path / "saved")
    for folder in ("run", "saved"):
        loaded = FlowMatching.load(tmp_path / folder)
        assert loaded.settings == model.settings
        assert (loaded.settings.base, loaded.settings.batch_size) == ("gaussian", 128)
        loaded.save(tmp_path / folder / "again")
        texts = [(tmp_path / f / "settings.json").read_text() for f in ("saved", f"{folder}/again")]
        assert texts[0] == texts[1]
        loaded.fit(x, budget="2 steps", progress=False)
        chosen, given = loaded.settings, (loaded.settings.n_rounds, loaded.settings.architecture)
        assert (chosen.base, chosen.batch_size, chosen.coupling) == ("none", 256, "conditional-ot")
        assert given == (1, MLP(width=8, depth=1))


def test_folders_that_do_not_say_what_was_chosen_load(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    FlowMatching(**TINY).fit(x, budget="2 steps", progress=False).save(tmp_path / "old")
    file = tmp_path / "old" / "settings.json"
    entries = json.loads(file.read_text())
    assert "coupling" in entries.pop("chosen")
    file.write_text(json.dumps(entries))
    assert FlowMatching.load(tmp_path / "old").settings.coupling == entries["coupling"]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_save_and_load(of_classes, classes, tmp_path, library: str) -> None:
    model = of_classes
    if library == "torch":
        model = fitted(torch.from_numpy(classes[0]), n_steps=20)
    condition = 1 if library == "numpy" else None
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.settings == model.settings
    found, expected = (m.sample(20, condition, rng=5) for m in (again, model))
    assert type(found) is type(expected)
    assert (found == expected).all()


def test_a_run_that_ended_early_goes_on(classes, tmp_path) -> None:
    short = fitted(*classes, n_steps=60, out=tmp_path / "run", stop_after="40 steps")
    assert short.n_trained == 2
    longer = fitted(*classes, n_steps=60, out=tmp_path / "run", resume=True)
    whole = fitted(*classes, n_steps=60)
    assert longer.n_trained == 3
    np.testing.assert_array_equal(longer.sample(5, 0, rng=0), whole.sample(5, 0, rng=0))


# -- saying no -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coupling": "cot"}, "coupling must be one of none, ot, conditional-ot"),
        ({"solver": "heun"}, "solver must be one of"),
        ({"beta": 0.0}, "beta must be positive"),
        ({"condition_dropout": 1.0}, "condition_dropout must be at least 0 and below 1"),
        ({"n_steps": 0}, "n_steps must be at least 1"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlowMatching(**settings)


def test_bad_samples(of_classes, classes) -> None:
    with pytest.raises(RuntimeError, match="not trained"):
        FlowMatching().sample(1)
    with pytest.raises(ValueError, match="solver must be one of"):
        of_classes.sample(1, 0, solver="heun")
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        of_classes.sample(1, 0, n_steps=0)
    with pytest.raises(ValueError, match=r"points must be of shape \(2,\) like the data"):
        of_classes.log_likelihood(np.zeros((2, 3)), 0)
    plain = fitted(classes[0], n_steps=5)
    with pytest.raises(ValueError, match="guidance needs a model with conditions"):
        plain.sample(1, guidance=2)
