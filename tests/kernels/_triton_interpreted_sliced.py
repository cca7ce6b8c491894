"""The sliced operation under Triton's interpreter, run by `test_triton_interpreted.py`."""

import itertools

import energyflow_kernels.triton.matrix_products as triton_product
import energyflow_kernels.triton.sliced as triton_sliced
import pytest
import torch
from _triton_twin import naive_rows, relative_error
from energyflow_kernels.triton.launch import SHORT_WARPS
from energyflow_kernels.triton.matrix_products import project, project_back
from energyflow_kernels.triton.sliced import sliced_energy


@pytest.fixture(autouse=True)
def small_block(monkeypatch):
    """A block that the interpreter sorts in a second beside those that a GPU is given."""
    monkeypatch.setitem(SHORT_WARPS, 16, 1)


def draw(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def problem(n, m, d, n_slices, dtype):
    directions = draw(n_slices, d, dtype=dtype, seed=3)
    directions /= directions.norm(dim=1, keepdim=True)
    return draw(n, d, dtype=dtype, seed=1), 0.5 + draw(m, d, dtype=dtype, seed=2), directions


def naive_sliced(x, y, directions, a=None, b=None, *, unbiased=False):
    x, y, directions = x.double(), y.double(), directions.double()
    values, gx, gy = naive_rows(directions @ x.T, directions @ y.T, a, b, unbiased=unbiased)
    return values, gx.T @ directions, gy.T @ directions


def assert_close(found, expected, dtype):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for f, e in zip(found, expected, strict=True):
        assert relative_error(f, e) <= tolerance


@pytest.mark.parametrize(("d", "unbiased"), [(1, False), (2, True), (8, False), (9, False)])
def test_short_rows_agree_with_direct_sums(d, unbiased):
    x, y, directions = problem(13, 10, d, 2, torch.float32)
    found = sliced_energy(x, y, directions, unbiased=unbiased, wrt=("x", "y"))
    assert_close(found, naive_sliced(x, y, directions, unbiased=unbiased), torch.float32)


@pytest.mark.parametrize("d", [2, 65])
@pytest.mark.parametrize("weighted", [False, True])
def test_long_rows_agree_with_direct_sums(weighted, d):
    x, y, directions = problem(600, 257, d, 4, torch.float64)
    a = torch.rand(600, dtype=torch.float64).softmax(0) if weighted else None
    found = sliced_energy(x, y, directions, a, unbiased=True, wrt=("x", "y"))
    assert_close(found, naive_sliced(x, y, directions, a, unbiased=True), torch.float64)


def test_coincident_points_are_at_distance_zero():
    x, _, directions = problem(8, 1, 3, 2, torch.float32)
    for part in sliced_energy(x, x.flip(0).repeat(2, 1), directions, wrt=("x", "y")):
        assert (part == 0).all()


def test_slices_in_chunks_are_the_same_slices(monkeypatch):
    x, y, directions = problem(300, 200, 3, 7, torch.float64)
    whole = sliced_energy(x, y, directions, wrt=("x", "y"))
    monkeypatch.setattr(triton_sliced, "workspace_bytes", lambda device: 3 * 16 * 500)
    chunked = sliced_energy(x, y, directions, wrt=("x", "y"))
    assert torch.equal(whole[0], chunked[0])
    assert_close(chunked[1:], whole[1:], torch.float64)


@pytest.mark.parametrize("exact_library", [False, True])
@pytest.mark.parametrize(
    ("n", "n_slices", "d"), [(1, 1, 1), (63, 129, 8), (65, 33, 9), (64, 300, 2)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_agree_with_the_library(n, n_slices, d, dtype, exact_library, monkeypatch):
    monkeypatch.setattr(triton_product, "_library_is_exact", lambda dtype: exact_library)
    points, directions = draw(n, d, dtype=dtype, seed=4), draw(n_slices, d, dtype=dtype, seed=5)
    gradients = draw(n_slices, n, dtype=dtype, seed=6)
    wide = points.double(), directions.double(), gradients.double()
    found = project(points, directions), project_back(gradients, directions)
    assert_close(found, (wide[1] @ wide[0].T, wide[2].T @ wide[1]), dtype)


@pytest.mark.parametrize("setting", ["ieee", "tf32"])
def test_the_library_multiplies_only_in_full_precision(setting, monkeypatch):
    used = []
    multiply = triton_product._multiply
    monkeypatch.setattr(triton_product, "_multiply", lambda *ab: used.append(1) or multiply(*ab))
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = setting
    try:
        project(draw(5, 20), draw(4, 20))
        project_back(draw(4, 5), draw(4, 20))
        assert torch.backends.cuda.matmul.fp32_precision == setting
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    assert len(used) == (2 if setting == "ieee" else 0)


def test_autocast_changes_nothing():
    x, y, directions = problem(300, 200, 20, 3, torch.float64)
    x, y, directions = x.float(), y.float(), directions.float()
    a = torch.full((300,), 1 / 300)
    plain = sliced_energy(x, y, directions, a)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = sliced_energy(x, y, directions, a)
    assert torch.equal(plain[0], cast[0])
    assert torch.equal(plain[1], cast[1])


def test_running_again_changes_no_bit():
    x, y, directions = problem(600, 300, 5, 2, torch.float64)
    first, second = (sliced_energy(x, y, directions)[:2] for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_compiled_code_keeps_the_operator_whole():
    x, y, directions = problem(40, 30, 12, 3, torch.float64)

    def value_and_gradient(x):
        values, gx, _ = sliced_energy(2 * x, y, directions)
        return values.mean(), gx / 3

    compiled = torch.compile(value_and_gradient, backend="aot_eager", fullgraph=True)
    assert_close(compiled(x), value_and_gradient(x), torch.float64)


def test_the_operator_is_registered_as_compilers_need_it():
    arguments = problem(6, 5, 3, 2, torch.float64)
    operator = torch.ops.energyflow.sliced_energy.default
    tests = ("test_schema", "test_faketensor")
    for want_x, want_y in itertools.product([False, True], repeat=2):
        options = (None, None, False, want_x, want_y)
        torch.library.opcheck(operator, (*arguments, *options), test_utils=tests)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2, 4), torch.ones(3, 4), torch.ones(2, 3)), "directions must be"),
        ((torch.ones(2, 4), torch.ones(3, 4), torch.ones(2, 4).double()), "directions must be"),
        ((torch.ones(2, 4), torch.ones(3, 5), torch.ones(2, 4)), "do not match"),
        ((torch.ones(2, 4), torch.ones(3, 4), torch.ones(2, 4), torch.ones(3)), "a must be"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sliced_energy(*arguments)
