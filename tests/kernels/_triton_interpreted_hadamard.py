"""Walsh-Hadamard slices under Triton's interpreter, run by `test_triton_interpreted.py`."""

import energyflow_kernels.triton.hadamard as triton_hadamard
import energyflow_kernels.triton.sliced as triton_sliced
import numpy as np
import pytest
import torch
from _triton_twin import naive_rows, relative_error
from energyflow_backends import HadamardProducts
from energyflow_backends.libraries.triton import TritonBackend
from energyflow_kernels.triton.hadamard import HadamardSlices, hadamard_back, hadamard_rows
from energyflow_kernels.triton.launch import SHORT_WARPS
from energyflow_kernels.triton.sliced import sliced_energy
from scipy.linalg import hadamard

DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of a point or two, and short rows, that the interpreter takes in a second."""
    monkeypatch.setattr(triton_hadamard, "WARP_NUMBERS", 16)
    monkeypatch.setitem(SHORT_WARPS, 16, 1)


def problem(n, d, length, rounds, dtype, count=None):
    rng = np.random.default_rng([n, d, length, rounds])
    x = torch.tensor(rng.normal(size=(n, d)), dtype=dtype)
    signs = torch.tensor(rng.choice([-1.0, 1.0], size=(rounds, length)), dtype=dtype)
    picked = None if count is None else torch.tensor(rng.permutation(length)[:count])
    return x, signs, picked


def naive(signs, picked, d):
    """The rows (K, d) of the product, in double precision."""
    length = signs.shape[1]
    product = np.eye(length)
    for s in signs.double().numpy():
        product = hadamard(length) @ (s[:, None] * product) / np.sqrt(length)
    return torch.tensor(product)[slice(None) if picked is None else picked, :d]


@pytest.fixture
def poisoned(monkeypatch):
    """New tensors of floats hold NaN until a kernel fills them."""
    empty = torch.Tensor.new_empty

    def nan(self, *args, **kwargs):
        new = empty(self, *args, **kwargs)
        return new.fill_(float("nan")) if new.is_floating_point() else new

    monkeypatch.setattr(torch.Tensor, "new_empty", nan)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    ("n", "d", "length", "rounds", "count", "dtype"),
    [
        (1, 1, 64, 1, None, torch.float32),
        (5, 64, 64, 2, 1, torch.float64),
        (7, 63, 64, 3, 33, torch.float32),
        (3, 50, 64, 3, 64, torch.float64),
        (2, 65, 128, 2, 127, torch.float64),
        (1, 128, 128, 1, None, torch.float32),
        (1, 200, 256, 1, 100, torch.float32),
    ],
)
def test_rows_and_their_transpose_are_those_of_the_matrix(
    n, d, length, rounds, count, dtype, monkeypatch
):
    monkeypatch.setattr(triton_hadamard, "WARP_NUMBERS", max(16, length // 4))
    x, signs, picked = problem(n, d, length, rounds, dtype, count)
    theta = naive(signs, picked, d)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    rows = hadamard_rows(x, signs, picked)
    assert rows.dtype == dtype
    assert relative_error(rows, theta @ x.double().T) <= tolerance
    g = torch.tensor(np.random.default_rng(1).normal(size=rows.shape), dtype=dtype)
    assert relative_error(hadamard_back(g, signs, picked, d), g.double().T @ theta) <= tolerance


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("length", [64, 128, 256, 512, 1024, 2048, 4096])
def test_tiles_fill_their_warps(length, itemsize, monkeypatch):
    monkeypatch.undo()
    tile = triton_hadamard.tile_for(length, itemsize)
    assert tile.points * length == tile.warps * triton_hadamard.WARP_NUMBERS
    assert length % tile.low == 0
    assert tile.warps <= triton_hadamard.MAX_WARPS


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_pass_through(scale):
    x, signs, _ = problem(2, 50, 64, 2, torch.float32)
    plain, scaled = hadamard_rows(x, signs), hadamard_rows(x * scale, signs)
    assert relative_error(scaled.double() / scale, plain) <= 1e-6


def test_equal_points_get_equal_numbers():
    x, signs, _ = problem(1, 40, 64, 2, torch.float32)
    rows = hadamard_rows(x.repeat(5, 1), signs)
    assert torch.equal(rows, rows[:, :1].expand(-1, 5))


def test_points_of_any_layout():
    x, signs, picked = problem(4, 40, 64, 1, torch.float32, 3)
    strided = hadamard_rows(x.T.contiguous().T, signs, picked)
    assert torch.equal(strided, hadamard_rows(x, signs)[picked])


def test_nothing_to_do():
    x, signs, picked = problem(3, 40, 64, 2, torch.float32, 0)
    assert hadamard_rows(x, signs, picked).shape == (0, 3)
    assert hadamard_rows(x[:0], signs).shape == (64, 0)
    assert torch.equal(hadamard_back(x.new_empty(0, 3), signs, picked, 40), torch.zeros(3, 40))


def sliced_problem(n, m, d, dtype):
    """Two products of length 64, three rows of the first and five of the second."""
    x, signs, picked = problem(n, d, 64, 1, dtype, 5)
    y, other, _ = problem(m + 10, d, 64, 1, dtype)  # other sizes, other numbers
    y = y[:m]
    slices = HadamardSlices(torch.stack([other, signs]), (torch.tensor([40, 3, 17]), picked))
    theta = torch.cat([naive(*part, d) for part in zip(*slices, strict=True)])
    return x, 0.5 + y, slices, theta


def agree(found, x, y, theta, a=None, *, unbiased=False, tolerance):
    values, gx, gy = naive_rows(theta @ x.double().T, theta @ y.double().T, a, unbiased=unbiased)
    for f, e in zip(found, (values, gx.T @ theta, gy.T @ theta), strict=True):
        assert relative_error(f, e) <= tolerance


def test_the_sliced_energy_agrees_with_direct_sums():
    x, y, slices, theta = sliced_problem(2, 2, 50, torch.float64)
    a = torch.tensor([0.25, 0.75], dtype=torch.float64)
    found = sliced_energy(x, y, slices, a, unbiased=True, wrt=("x", "y"))
    agree(found, x, y, theta, a, unbiased=True, tolerance=1e-12)


def test_slices_in_parts_are_the_same_slices(monkeypatch):
    x, y, slices, theta = sliced_problem(2, 1, 64, torch.float64)
    whole = sliced_energy(x, y, slices, wrt=("x", "y"))
    monkeypatch.setattr(triton_sliced, "workspace_bytes", lambda device: 2 * 8 * 3 * 2)
    parts = sliced_energy(x, y, slices, wrt=("x", "y"))
    assert torch.equal(whole[0], parts[0])
    agree(parts, x, y, theta, tolerance=1e-12)


class Products:
    """What the backend asks of a Hadamard projector, with rows of one library or another."""

    def __init__(self, signs, picked):
        self._signs, self._picked = signs, picked

    def structure(self, like):
        return HadamardProducts(like.shape[1], self._signs.to(like.dtype), self._picked)


@pytest.mark.parametrize("convert", [torch.Tensor.numpy, torch.Tensor.int])
def test_the_backend_hands_over_signs_and_rows(convert):
    x, _, slices, _ = sliced_problem(1, 1, 50, torch.float64)
    projector = Products(slices.signs.float(), tuple(map(convert, slices.picked)))
    handed = TritonBackend().slices(projector, x)
    assert torch.equal(handed.signs, slices.signs)
    for one, other in zip(handed.picked, slices.picked, strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("length", [32, 8192])
def test_the_backend_leaves_other_lengths_alone(length):
    projector = Products(torch.ones(1, 2, length), (torch.arange(length),))
    assert TritonBackend().slices(projector, torch.ones(3, 20)) is None


@pytest.mark.parametrize("wrt", [(), ("y",)])
def test_only_the_wanted_gradients_are_there(wrt):
    x, y, slices, _ = sliced_problem(1, 1, 64, torch.float64)
    _, gx, gy = sliced_energy(x, y, slices, wrt=wrt)
    assert [g is not None for g in (gx, gy)] == [False, "y" in wrt]


@pytest.mark.parametrize("want_x", [False, True])
def test_the_operator_is_registered_as_compilers_need_it(want_x):
    x, y, slices, _ = sliced_problem(1, 1, 64, torch.float64)
    picked = [rows[:2] for rows in slices.picked]
    arguments = (x, y, slices.signs, picked, None, None, False, want_x, not want_x)
    operator = torch.ops.energyflow.hadamard_energy.default
    torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


ONES = torch.ones(2, 64)


@pytest.mark.parametrize(
    ("x", "signs", "picked", "error", "message"),
    [
        (torch.ones(3, 5).double(), ONES, None, TypeError, "float32 or float64"),
        (torch.ones(3, 5).half(), ONES.half(), None, TypeError, "float32 or float64"),
        (torch.ones(3), ONES, None, ValueError, "2-d"),
        (torch.ones(3, 5), torch.ones(0, 64), None, ValueError, "2-d"),
        (torch.ones(3, 5), torch.ones(2, 96), None, ValueError, "power of two"),
        (torch.ones(3, 5), torch.ones(2, 32), None, ValueError, "from 64 to 4096"),
        (torch.ones(3, 5), torch.ones(1, 8192), None, ValueError, "got 8192"),
        (torch.ones(3, 65), ONES, None, ValueError, "at least 65"),
        (torch.ones(3, 5), ONES, torch.ones(4), ValueError, "whole numbers"),
        (torch.ones(3, 5), ONES.to("meta"), None, TypeError, "one device"),
    ],
)
def test_bad_input_is_named(x, signs, picked, error, message):
    with pytest.raises(error, match=message):
        hadamard_rows(x, signs, picked)


def test_bad_gradients_are_named():
    with pytest.raises(ValueError, match="64 rows"):
        hadamard_back(torch.ones(5, 3), ONES, None, 10)
    with pytest.raises(ValueError, match="at least 65"):
        hadamard_back(torch.ones(64, 3), ONES, None, 65)


def test_every_product_has_its_rows():
    x, y, slices, _ = sliced_problem(2, 2, 64, torch.float64)
    with pytest.raises(ValueError, match="as many picked"):
        sliced_energy(x, y, HadamardSlices(slices.signs, slices.picked[:1]))
    with pytest.raises(ValueError, match=r"\(products, k, D\)"):
        sliced_energy(x, y, HadamardSlices(slices.signs[0], slices.picked[:1]))
