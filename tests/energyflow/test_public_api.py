"""The names that other work relies on, and what importing costs."""

import inspect
import subprocess
import sys

import energyflow as ef

NAMES = {
    "BackendUnavailable", "ConditionalFlow", "Coupling", "EnergyTestResult", "EnergyflowError",
    "FlowWarning",
    "FlowDiverged", "FlowResult", "HadamardSlicing", "KALEFlow", "MMDFlow", "ParticleFlow",
    "PatchSlicing", "Slicing", "compile_kernels", "conditional_coupling", "conditional_geodesic",
    "conditional_wasserstein_distance", "crps", "distributed", "energy_distance", "energy_gradient",
    "energy_score", "energy_test", "kale", "kernel_sum", "kernel_sum_gradient", "kernels",
    "max_sliced_wasserstein_distance", "mmd_squared",
    "reference", "sample_projections", "show_backends", "sliced_energy_distance",
    "sliced_energy_gradient", "sliced_energy_value_and_gradient",
    "sliced_wasserstein_distance", "slicing_constant",
    "use_backend", "witness", "witness_gradient",
    "IndependenceTestResult", "KernelTestResult", "kernel_test",
    "BatchTest", "ColumnTests", "EffectSize", "EnergyMonitor", "column_tests",
    "distance_correlation", "distance_correlation_squared",
    "distance_covariance", "distance_covariance_squared", "independence_test",
    "partial_distance_correlation", "partial_distance_covariance",
    "sliced_distance_correlation_squared", "sliced_distance_covariance_squared",
}  # fmt: skip


def test_public_names() -> None:
    assert set(ef.__all__) == NAMES
    assert {name for name in vars(ef) if not name.startswith("_")} >= NAMES


def test_signatures() -> None:
    sliced = (
        "x, y, a=None, b=None, n_projections=128, *, exponent=1.0, projections=None, "
        "slicing='auto', estimator='V', rng=None, chunk_size=None"
    )
    exact = "x, y, a=None, b=None, *, exponent=1.0, estimator='V', chunk_size=None"
    sums = (
        "x, y, weights=None, n_projections=128, *, kernel='energy', projections=None, "
        "slicing='auto', rng=None, method='sliced', tolerance=0.0001, chunk_size=None"
    )
    witness = (
        "points, x, y, a=None, b=None, n_projections=128, *, kernel='energy', method='direct', "
        "projections=None, slicing='auto', rng=None, tolerance=0.0001, chunk_size=None"
    )
    for function, expected in [
        (ef.energy_distance, exact),
        (ef.energy_gradient, exact),
        (ef.sliced_energy_distance, sliced),
        (ef.sliced_energy_gradient, sliced),
        (ef.sliced_energy_value_and_gradient, sliced),
        (
            ef.sliced_wasserstein_distance,
            "x, y, a=None, b=None, n_projections=128, p=2.0, *, projections=None, "
            "slicing='auto', rng=None, chunk_size=None",
        ),
        (
            ef.max_sliced_wasserstein_distance,
            "x, y, a=None, b=None, n_projections=128, p=2.0, *, projections=None, "
            "slicing='auto', n_starts=4, n_steps=50, rng=None",
        ),
        (ef.kernel_sum, sums),
        (ef.kernel_sum_gradient, sums),
        (
            ef.energy_test,
            "*samples, n_resamples=999, exponent=1.0, method='auto', n_projections=128, "
            "slicing='auto', strata=None, scale='auto', rng=None, progress=False",
        ),
        (
            ef.distance_covariance_squared,
            "x, y, *, exponent=1.0, estimator='V', chunk_size=None",
        ),
        (
            ef.sliced_distance_covariance_squared,
            "x, y, n_projections=128, *, exponent=1.0, estimator='V', slicing='auto', rng=None, "
            "chunk_size=None",
        ),
        (
            ef.independence_test,
            "x, y, given=None, *, n_resamples=999, exponent=1.0, estimator='V', method='auto', "
            "n_projections=128, slicing='auto', strata=None, rng=None, progress=False",
        ),
        (ef.energy_score, "samples, truth, weights=None, *, exponent=1.0, estimator='V'"),
        (ef.crps, "samples, truth, weights=None, *, estimator='V'"),
        (ef.witness, witness),
        (ef.witness_gradient, witness),
        (
            ef.mmd_squared,
            "x, y, a=None, b=None, *, kernel='energy', estimator='V', chunk_size=None",
        ),
        (ef.kale, "x, y, a=None, b=None, *, kernel='gauss', regularization"),
        (ef.slicing_constant, "d, exponent=1.0"),
        (ef.sample_projections, "n, d, *, method='auto', rng=None, like=None"),
    ]:
        signature = inspect.signature(function)
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        assert str(inspect.Signature(bare)) == f"({expected})"


def test_public_names_are_documented() -> None:
    for name in ef.__all__:
        assert inspect.getdoc(getattr(ef, name)), name


def test_import_is_light() -> None:
    code = (
        "import sys, energyflow\n"
        "heavy = {'torch', 'jax', 'cupy', 'numba', 'triton', 'scipy', 'dask', 'rich', 'typer',"
        " 'matplotlib', 'array_api_extra', 'pandas', 'sklearn', 'ot', 'PIL',"
        " 'numpy.f2py', 'numpy.testing'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
