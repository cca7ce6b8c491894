"""Energy score and CRPS: closed forms, propriety, and every library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import energyflow as ef

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@given(NUMBERS, st.floats(-1e3, 1e3))
def test_crps_is_the_integral_over_the_distribution_functions(values, truth) -> None:
    points = np.sort(np.array([*values, truth]))
    x = np.array(values)
    below = (x[:, None] <= points[:-1]).mean(axis=0)
    integral = np.sum((below - (points[:-1] >= truth)) ** 2 * np.diff(points))
    found = ef.crps(x[:, None], np.array([truth]))
    assert found.shape == (1,)
    assert found[0] == pytest.approx(integral, abs=1e-9)
    assert ef.energy_score(x[:, None], np.array([truth])) == pytest.approx(integral, abs=1e-9)


def test_a_square_of_forecasts_is_not_guessed_at(rng) -> None:
    forecasts, truths = rng.normal(size=(4, 4)), rng.normal(size=4)
    with pytest.raises(ValueError, match=r"samples of shape \(4, 4\) and truth \(4,\) can be read"):
        ef.crps(forecasts, truths)
    many = ef.crps(forecasts[..., None], truths[:, None])[:, 0]
    one = ef.crps(forecasts, truths[None])[0]
    np.testing.assert_allclose(many[2], ef.crps(forecasts[2, :, None], truths[2:3])[0])
    np.testing.assert_allclose(one[2], ef.crps(forecasts[:, 2:3], truths[2:3])[0])


def test_crps_of_the_uniform_distribution() -> None:
    n = 1001
    x = np.linspace(0, 1, n)[:, None]
    for z in (0.0, 0.3, 1.0):
        exact = z**3 / 3 + (1 - z) ** 3 / 3
        assert ef.crps(x, np.array([z]))[0] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("estimator", ["V", "U"])
def test_the_energy_score_by_its_definition(exponent, estimator, rng) -> None:
    x, z = rng.normal(size=(2, 7, 3)), rng.normal(size=(2, 3))
    far = np.linalg.norm(x - z[:, None], axis=2) ** exponent
    between = np.linalg.norm(x[:, :, None] - x[:, None], axis=3) ** exponent
    pairs = 7 * 7 if estimator == "V" else 7 * 6
    expected = far.mean(1) - between.sum((1, 2)) / (2 * pairs)
    found = ef.energy_score(x, z, exponent=exponent, estimator=estimator)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_u_scores_do_not_depend_on_the_number_of_samples(rng) -> None:
    few, many = rng.normal(size=(20_000, 2, 1)), rng.normal(size=(2000, 50, 1))
    truth = np.array([0.5])
    for score in (ef.energy_score, lambda *v, **k: ef.crps(*v, **k)[..., 0]):
        means = [score(x, truth, estimator="U").mean() for x in (few, many)]
        assert means[0] == pytest.approx(means[1], abs=0.02)


@pytest.mark.parametrize("score", [ef.energy_score, ef.crps])
def test_the_truths_own_distribution_scores_best(score, rng) -> None:
    truths = rng.normal(size=(2000, 1))

    def mean(shift, scale):
        x = shift + scale * rng.normal(size=(2000, 40, 1))
        return float(np.mean(score(x, truths, estimator="U")))

    right = mean(0, 1)
    assert right == pytest.approx(1 / np.sqrt(np.pi), rel=0.05)
    assert all(mean(*wrong) > right for wrong in ((1, 1), (0, 0.3), (0, 3)))


@pytest.mark.slow  # scoringrules compiles
@pytest.mark.parametrize("weighted", [False, True])
def test_scoringrules_is_an_oracle(rng, weighted) -> None:
    rules = pytest.importorskip("scoringrules", reason="scoringrules is an oracle of these tests")
    x, z = rng.normal(size=(4, 9, 3)), rng.normal(size=(4, 3))
    w = rng.dirichlet(np.ones(9), size=4) if weighted else None
    for ours, theirs in (("V", "nrg"), ("U", "fair")):
        np.testing.assert_allclose(
            ef.energy_score(x, z, w, estimator=ours),
            rules.es_ensemble(z, x, ens_w=w, estimator=theirs, backend="numpy"),
            rtol=1e-9,
        )
        shares = None if w is None else np.repeat(w[:, None], 3, axis=1)
        np.testing.assert_allclose(
            ef.crps(x, z, w, estimator=ours),
            rules.crps_ensemble(
                z, x.swapaxes(1, 2), ens_w=shares, estimator=theirs, backend="numpy"
            ),
            rtol=1e-9,
        )


@pytest.mark.parametrize("estimator", ["V", "U"])
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_units_do_not_matter(estimator, scale, rng) -> None:
    x, z = rng.normal(size=(7, 3)), rng.normal(size=3)
    for score in (ef.energy_score, ef.crps):
        found = score(scale * x, scale * z, estimator=estimator) / scale
        np.testing.assert_allclose(found, score(x, z, estimator=estimator), rtol=1e-9)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_gradients_are_finite_where_a_sample_is_the_truth(exponent, rng) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x = torch.tensor(rng.normal(size=(6, 2)), requires_grad=True)
    ef.energy_score(x, x[2].detach().clone(), exponent=exponent, estimator="U").backward()
    assert torch.isfinite(x.grad).all()


def test_jax_traces(rng) -> None:
    jax = pytest.importorskip("jax", reason="jax is an extra")
    x, z = (jax.numpy.asarray(v) for v in (rng.normal(size=(6, 2)), rng.normal(size=2)))
    for score in (ef.energy_score, lambda *v: ef.crps(*v).sum()):
        slopes = jax.jit(jax.grad(score))(x, z)
        np.testing.assert_allclose(slopes, jax.grad(score)(x, z), rtol=1e-5, atol=1e-7)


def test_one_sample_is_the_distance(rng) -> None:
    x, z = rng.normal(size=(1, 4)), rng.normal(size=4)
    assert ef.energy_score(x, z) == pytest.approx(np.linalg.norm(x - z))
    np.testing.assert_allclose(ef.crps(x, z), np.abs(x[0] - z))


def test_every_library_gives_the_same(xp, rng) -> None:
    x, z = rng.normal(size=(2, 9, 3)), rng.normal(size=(2, 3))
    for score in (ef.energy_score, ef.crps):
        for estimator in ("V", "U"):
            found = score(xp.asarray(x), xp.asarray(z), estimator=estimator)
            assert type(found) is type(xp.asarray(x))
            np.testing.assert_allclose(
                xp.to_numpy(found), score(x, z, estimator=estimator), rtol=1e-9
            )
    low = ef.crps(xp.asarray(x, np.float32), xp.asarray(z, np.float32))
    assert low.dtype == xp.asarray(x, np.float32).dtype


def test_torch_differentiates(rng) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    x = torch.tensor(rng.normal(size=(6, 2)), requires_grad=True)
    z = torch.tensor(rng.normal(size=2))
    for score in (ef.energy_score, lambda *v: ef.crps(*v).sum()):
        assert torch.autograd.gradcheck(lambda v, score=score: score(v, z), x)


def test_bad_input(rng) -> None:
    x, z = rng.normal(size=(5, 3)), rng.normal(size=3)
    for score in (ef.energy_score, ef.crps):
        with pytest.raises(ValueError, match=r"truth must have shape \(..., 3\)"):
            score(x, z[:2])
        with pytest.raises(ValueError, match="samples must have at least 2"):
            score(x[:1], z, estimator="U")
        with pytest.raises(ValueError, match="truth must be finite"):
            score(x, z * np.nan)
        with pytest.raises(ValueError, match="estimator must be one of V, U"):
            score(x, z, estimator="W")
        with pytest.raises(TypeError, match="floating"):
            score(x, np.array([1, 2, 3j]))
    with pytest.raises(ValueError, match="exponent must lie strictly"):
        ef.energy_score(x, z, exponent=2)


@given(NUMBERS, st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_weights_are_repetitions(values, truth, seed) -> None:
    counts = np.random.default_rng(seed).integers(0, 4, size=len(values))
    counts[0] += 1
    x, z = np.array(values)[:, None], np.array([truth])
    repeated = np.repeat(x, counts, axis=0)
    for score in (ef.crps, ef.energy_score):
        found = score(x, z, counts / counts.sum())
        np.testing.assert_allclose(found, score(repeated, z), atol=1e-9)


@pytest.mark.parametrize("score", [ef.crps, ef.energy_score])
@pytest.mark.parametrize("estimator", ["V", "U"])
def test_uniform_weights_change_nothing(score, estimator, xp, rng) -> None:
    x, z = xp.asarray(rng.normal(size=(2, 7, 3))), xp.asarray(rng.normal(size=(2, 3)))
    found = score(x, z, xp.asarray(np.full(7, 1 / 7)), estimator=estimator)
    np.testing.assert_allclose(
        xp.to_numpy(found), xp.to_numpy(score(x, z, estimator=estimator)), rtol=1e-9
    )


def test_weights_bring_batches_of_their_own(rng) -> None:
    x, z, w = rng.normal(size=(7, 3)), rng.normal(size=3), rng.dirichlet(np.ones(7), size=4)
    for score in (ef.crps, ef.energy_score):
        found = score(x, z, w)
        np.testing.assert_allclose(found, [score(x, z, v) for v in w], rtol=1e-12)
        with pytest.raises(ValueError, match="samples, truth, weights must have batch dim"):
            score(x, np.zeros((5, 3)), w)


def test_bad_weights() -> None:
    x, z = np.zeros((3, 2)), np.zeros(2)
    for weights, message in [
        (np.ones(3), "weights must sum to one"),
        (np.ones(2) / 2, r"weights must have shape \(\.\.\., 3\)"),
    ]:
        for score in (ef.crps, ef.energy_score):
            with pytest.raises(ValueError, match=message):
                score(x, z, weights)
