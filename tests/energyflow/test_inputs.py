"""Inputs in the forms in which SciPy, dcor and scikit-learn take them: the same numbers come out.

A table of forms against functions: the twin in the other library, given the same object, says what
the result is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from energyflow_backends import library_of
from scipy import stats

import energyflow as ef
from energyflow import kernels

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 9, 12), RNG.integers(3, 14, 12)

FORMS: dict[str, Callable[[Any], Any]] = {
    "list of int": lambda v: v.tolist(),
    "list of float": lambda v: v.astype(float).tolist(),
    "tuple": lambda v: tuple(v.tolist()),
    "int64": lambda v: v,
    "int8": lambda v: v.astype(np.int8),
    "uint8": lambda v: v.astype(np.uint8),
    "bool": lambda v: v > 6,
    "float32": lambda v: v.astype(np.float32),
    "float64": lambda v: v.astype(float),
    "every second": lambda v: np.repeat(v, 2).astype(float)[::2],
    "big-endian": lambda v: v.astype(">f8"),
    "read-only": lambda v: np.frombuffer(v.astype(float).tobytes()),
}


def column(values: Any) -> Any:
    return np.asarray(values, float)[:, None]


def gauss_mmd(x: Any, y: Any) -> float:
    pairwise = pytest.importorskip("sklearn.metrics.pairwise", reason="scikit-learn is the twin")
    means = [pairwise.rbf_kernel(column(u), column(v), 0.5).mean() for u, v in [(x, x), (y, y)]]
    return float(sum(means) - 2 * pairwise.rbf_kernel(column(x), column(y), 0.5).mean())


def dcor_correlation(x: Any, y: Any) -> float:
    dcor = pytest.importorskip("dcor", reason="dcor is the twin")
    return float(dcor.distance_correlation(np.asarray(x, float), np.asarray(y, float)))


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "energy distance": (ef.energy_distance, lambda x, y: stats.energy_distance(x, y) ** 2),
    "sliced": (ef.sliced_energy_distance, lambda x, y: stats.energy_distance(x, y) ** 2),
    "Wasserstein": (
        lambda x, y: ef.sliced_wasserstein_distance(x, y, p=1),
        lambda x, y: stats.wasserstein_distance(np.asarray(x, float), np.asarray(y, float)),
    ),
    "MMD": (lambda x, y: ef.mmd_squared(x, y, kernel=kernels.Gauss(1.0)), gauss_mmd),
    "correlation": (ef.distance_correlation, dcor_correlation),
    "energy test": (
        lambda x, y: ef.energy_test(x, y, n_resamples=9, rng=0).statistic,
        lambda x, y: stats.energy_distance(x, y) ** 2,
    ),
}


@pytest.mark.filterwarnings("ignore:.*length 1")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_samples_on_a_line(form: str, function: str) -> None:
    x, y = FORMS[form](X), FORMS[form](Y)
    ours, twin = FUNCTIONS[function]
    assert float(ours(x, y)) == pytest.approx(twin(x, y), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("form", [name for name in FORMS if "float32" not in name])
def test_whole_numbers_are_float64_and_gradients_look_like_the_points(form: str) -> None:
    x, y = FORMS[form](X), FORMS[form](Y)
    assert ef.energy_distance(x, y).dtype == np.float64
    gradient = ef.energy_gradient(x, y)
    assert gradient.shape == (12,)
    np.testing.assert_array_equal(gradient, ef.energy_gradient(column(x), column(y))[:, 0])
    value, sliced = ef.sliced_energy_value_and_gradient(x, y)
    np.testing.assert_allclose(sliced, gradient, rtol=1e-12)
    kernel_gradient = ef.kernel_sum_gradient(x, y, kernel="energy", method="direct")
    assert kernel_gradient.shape == (12,)
    assert float(value) == pytest.approx(float(ef.energy_distance(x, y)))


@pytest.mark.parametrize(
    ("x", "y", "shapes"),
    [
        (np.zeros(3), np.zeros((5, 2)), r"got \(3,\)"),
        (np.zeros((5, 2)), np.zeros(3), r"got \(3,\)"),
        (0.0, np.zeros(3), "got float"),
        (np.zeros(()), np.zeros(3), r"got \(\)"),
    ],
)
def test_what_could_be_a_point_or_a_sample_is_refused(x: Any, y: Any, shapes: str) -> None:
    with pytest.raises((TypeError, ValueError), match=shapes):
        ef.energy_distance(x, y)


def test_numbers_lie_on_a_line_beside_columns() -> None:
    expected = ef.energy_distance(column(X), column(Y))
    assert ef.energy_distance(X, column(Y)) == ef.energy_distance(column(X), Y) == expected


def test_weights_may_be_lists_and_whole_numbers() -> None:
    x, y = [[0, 0], [1, 1]], [[3, 4], [0, 1], [2, 2]]
    mine, first = [0.25, 0.75], [1, 0, 0]
    expected = ef.energy_distance(
        np.array(x, float), np.array(y, float), np.array(mine), np.array(first, float)
    )
    assert ef.energy_distance(x, y, mine, first) == expected
    assert ef.kernel_sum(x, y, [1, -1, 2], method="direct").shape == (2,)


@pytest.mark.parametrize("weights", [[0.25] * 4, [1, 0, 0, 0]])
def test_lists_of_weights_go_where_the_points_are(xp: Any, weights: list[float]) -> None:
    x = xp.asarray(np.arange(8.0).reshape(4, 2))
    given = xp.asarray(np.array(weights, dtype=np.float64))
    assert float(ef.energy_distance(x, x[:2, :], weights)) == pytest.approx(
        float(ef.energy_distance(x, x[:2, :], given)), rel=1e-6
    )


def test_lists_of_points_go_where_the_other_points_are(xp: Any) -> None:
    x, y = np.arange(8.0).reshape(4, 2), np.array([[3.0, 4.0], [0.1, 1.0], [2.0, 2.0]])
    given = xp.asarray(x)
    for function in (ef.energy_distance, ef.sliced_energy_distance, ef.energy_score):
        how = {"rng": 0} if function is ef.sliced_energy_distance else {}
        sets = [(x, y), (given, y.tolist())]
        if function is ef.energy_score:
            sets = [(a, b[0]) for a, b in sets]
        expected, found = (function(*pair, **how) for pair in sets)
        assert library_of(found) == library_of(given)
        assert float(found) == pytest.approx(float(expected), rel=1e-6)
    assert float(ef.energy_distance(y.tolist(), given)) == pytest.approx(
        float(ef.energy_distance(y, x)), rel=1e-6
    )


def test_lists_beside_tensors_in_tests_flows_and_metrics() -> None:
    torch = pytest.importorskip("torch", reason="the tensors are torch's")
    metrics = pytest.importorskip("energyflow.metrics", reason="metrics are an extra")
    x, y = X.astype(float), Y.astype(float)
    tensor = torch.from_numpy(x)
    for test in (ef.energy_test, ef.independence_test):
        lists, arrays = (
            test(v, w, n_resamples=9, rng=0) for v, w in ((tensor, Y.tolist()), (x, y))
        )
        assert float(lists.statistic) == pytest.approx(float(arrays.statistic))
    start = ef.ParticleFlow(tensor[:, None], step_size=1.0, n_projections=2, rng=0)
    assert type(start.run([[1], [2]], 1, progress=False).particles) is type(tensor)
    fid = metrics.frechet_distance(tensor, Y.tolist())
    assert float(fid) == pytest.approx(float(metrics.frechet_distance(column(X), column(Y))))


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (["1", "2"], "text"),
        ([b"1", b"2"], "text"),
        ([1, "2"], "text"),
        ([None, "2"], "text"),
        ([1j, 2], "complex ones"),
        ([np.datetime64("2020-01-01"), np.datetime64("2020-01-02")], "dates"),
    ],
)
def test_lists_of_what_is_no_number_are_refused(values: list[Any], what: str) -> None:
    with pytest.raises(TypeError, match=f"x must be real numbers, got {what}"):
        ef.energy_distance(values, [1.0, 2.0])


def test_integers_of_every_library(xp: Any) -> None:
    x, y = np.arange(8).reshape(4, 2), np.arange(6).reshape(3, 2) ** 2
    found = float(ef.energy_distance(xp.asarray(x), xp.asarray(y)))
    assert found == pytest.approx(float(ef.energy_distance(x, y)), rel=1e-6)


def test_flows_scores_and_couplings() -> None:
    target, start = [[0, 0], [1, 0], [0, 1], [5, 5]], [[2, 2], [3, 3]]
    floats = np.array(target, float), np.array(start, float)
    one, other = (
        ef.ParticleFlow(t, step_size=1.0, n_projections=4, rng=0).run(s, 3, progress=False)
        for t, s in ((target, start), floats)
    )
    np.testing.assert_array_equal(one.particles, other.particles)
    assert ef.energy_score(target, [1, 1]) == ef.energy_score(floats[0], np.ones(2))
    np.testing.assert_array_equal(ef.crps(target, [1, 1]), ef.crps(floats[0], np.ones(2)))
    given = target, [[0], [0], [1], [1]], [[2, 2], [3, 3], [4, 4], [5, 5]], [[0], [1], [0], [1]]
    distance = ef.conditional_wasserstein_distance(*given)
    assert distance == ef.conditional_wasserstein_distance(*(np.array(v, float) for v in given))
    assert ef.witness(start, target, start).shape == (2,)


@pytest.mark.parametrize("test", [ef.energy_test, ef.kernel_test, ef.independence_test])
def test_tests_of_lists(test: Callable[..., Any]) -> None:
    lists, floats = (
        test(x, y, n_resamples=19, rng=0)
        for x, y in ((X.tolist(), Y.tolist()), (X.astype(float), Y.astype(float)))
    )
    assert float(lists.statistic) == float(floats.statistic)
    assert lists.pvalue == floats.pvalue


def test_models_take_lists_integers_and_images_without_channels() -> None:
    models = pytest.importorskip("energyflow.models", reason="models are an extra")
    small = {"n_steps": 2, "architecture": models.MLP(width=8, depth=1)}
    images = RNG.integers(0, 255, (20, 4, 4), np.uint8)
    samples = [
        models.DMMD(**small).fit(data, progress=False).sample(3, rng=0)
        for data in (images, images[:, None].astype(float), images.tolist())
    ]
    assert samples[0].shape == (3, 1, 4, 4)
    for other in samples[1:]:
        np.testing.assert_array_equal(samples[0], other)
    labels = [0, 1] * 10
    model = models.DMMD(**small).fit(images, labels, progress=False)
    assert model.sample(3, [0, 1, 1], rng=0).shape == (3, 1, 4, 4)


def posterior_samples(samples: Any, truths: Any) -> list[Any]:
    metrics = pytest.importorskip("energyflow.metrics")
    table = metrics.posterior_table({"flow": samples}, truths)["flow"]
    simulated = samples[0] if isinstance(samples, list) else np.asarray(samples)[0]
    predicted = metrics.posterior_predictive(simulated, truths[0])
    sbc, tarp = metrics.sbc(samples, truths), metrics.tarp(samples, truths)
    return [sbc.ranks, tarp.ranks, predicted.pvalues, list(table.values())]


def generated_samples(samples: Any, real: Any) -> list[Any]:
    metrics = pytest.importorskip("energyflow.metrics")
    labels = (np.arange(len(real)) % 2).tolist()
    report = metrics.energy_distance_report(samples, real, strata=labels)
    found = [metrics.frechet_distance(samples, real), *metrics.precision_recall(real, samples)]
    found += [report.distance, metrics.nearest_neighbours(samples, real, real).distances]
    classifier = metrics.train_classifier(real, labels)
    return [*found, classifier.predict(np.asarray(real, np.float64)), metrics.psnr(real, real)]


@pytest.mark.parametrize("form", ["list of int", "list of float", "int8", "uint8", "float64"])
@pytest.mark.parametrize(
    ("measures", "shapes"),
    [
        (posterior_samples, [(9, 20, 1, 3, 3), (9, 1, 3, 3)]),
        (generated_samples, [(30, 4), (24, 4)]),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metrics_take_what_distances_take(
    measures: Callable[..., list[Any]], shapes: list[tuple[int, ...]], form: str
) -> None:
    pytest.importorskip("sklearn", reason="neighbours and classifiers are scikit-learn's")
    sets = [np.random.default_rng(k).integers(0, 9, shape) for k, shape in enumerate(shapes)]
    expected = measures(*(v.astype(float) for v in sets))
    for one, other in zip(measures(*map(FORMS[form], sets)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_posteriors_take_lists_integers_and_images_without_channels() -> None:
    inverse = pytest.importorskip("energyflow.inverse", reason="posteriors are an extra")
    models = pytest.importorskip("energyflow.models", reason="models are an extra")
    small = {"n_steps": 2, "n_rounds": 1, "architecture": models.MLP(width=8, depth=1)}
    images = RNG.integers(0, 255, (20, 4, 4))
    problem = inverse.BlurDownsample(1, size=2, stride=2) + inverse.Gaussian(1.0)
    samples = []
    for data in (images[:, None].astype(float), images, images.tolist()):
        flow = inverse.PosteriorFlow(problem, **small).fit(data, progress=False)
        samples += [flow.sample(np.ones((1, 2, 2)), 3, rng=0).samples]
        samples += [flow.sample([[[1, 1], [1, 1]]], 3, rng=0).samples]
    assert samples[0].shape == (3, 1, 4, 4)
    for other in samples[1:]:
        np.testing.assert_array_equal(samples[0], other)
    pairs = images[:, 0], images[:, 1]
    flows = [
        inverse.PosteriorFlow(**small).fit(*given, progress=False)
        for given in (pairs, [v.tolist() for v in pairs])
    ]
    drawn = [flow.sample([1, 2, 3, 4], 3, rng=0).samples for flow in flows]
    np.testing.assert_array_equal(*drawn)
    logs = [flow.log_prob([[1, 2, 3, 4]], [1, 2, 3, 4]) for flow in flows]
    np.testing.assert_array_equal(*logs)
