"""Rows under Triton's interpreter; `test_triton_interpreted.py` runs this in its own process."""

import itertools

import energyflow_kernels.triton.rows as triton_rows
import numpy as np
import pytest
import torch
from _triton_twin import naive_rows, poison, relative_error
from energyflow_kernels.triton.launch import PREFIX_BLOCK, SHORT_WARPS
from energyflow_kernels.triton.long_rows import SortedRows, sorted_rows
from energyflow_kernels.triton.rows import energy_rows, sort_rows
from energyflow_kernels.triton.short_rows import short_rows

LONG_SIZES = [(1, 1), (1, 2), (2, 63), (255, 256), (257, 1000), (1000, 1), (2047, 513), (300, 255)]
SHORT_SIZES = [(1, 1), (1, 2), (2, 15), (15, 16), (16, 9)]


def cases(sizes: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    """Ties at every size, and every kind of data at the last."""
    kinds = ("normal", "tiny", "huge", "one point")
    return [(n, m, "ties") for n, m in sizes] + [(*sizes[-1], kind) for kind in kinds]


@pytest.fixture(autouse=True)
def small_block(monkeypatch):
    """A block that the interpreter sorts in a second beside those that a GPU is given."""
    monkeypatch.setitem(SHORT_WARPS, 16, 1)


def sample(
    kind: str, n_rows: int, n: int, m: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng([n, m, len(kind)])
    x = rng.normal(size=(n_rows, n))
    y = 0.5 + rng.normal(size=(n_rows, m))
    if kind == "ties":
        x, y = np.round(2 * x) * 0.5, np.round(2 * y) * 0.5
        x[x == 0] = rng.choice([0.0, -0.0], size=x[x == 0].shape)
    elif kind == "tiny":
        x, y = 1e-30 * x, 1e-30 * y
    elif kind == "huge":
        x, y = 1e37 * x, 1e37 * y
    elif kind == "one point":
        x, y = np.full_like(x, 3.0), np.full_like(y, 3.0)
    return torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)


def weights(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    drawn = np.random.default_rng(len(shape)).exponential(size=shape)
    drawn[..., 1::3] = 0.0
    return torch.tensor(drawn / drawn.sum(-1, keepdims=True), dtype=dtype)


def sort_and_search(x, y, a=None, b=None, *, unbiased=False):
    gx, gy = poison(x), poison(y)
    values = sorted_rows(sort_rows(x, a), sort_rows(y, b), gx, gy, unbiased=unbiased)
    return values, gx, gy


def assert_close(found, expected, dtype: torch.dtype) -> None:
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for f, e in zip(found, expected, strict=True):
        assert relative_error(f, e) <= tolerance


@pytest.mark.parametrize(("dtype", "unbiased"), [(torch.float32, False), (torch.float64, True)])
@pytest.mark.parametrize(("n", "m", "kind"), cases(LONG_SIZES))
def test_long_rows_agree_with_direct_sums(n, m, kind, dtype, unbiased):
    if unbiased and min(n, m) == 1:
        n, m = n + 1, m + 1
    x, y = sample(kind, 2, n, m, dtype)
    found = sort_and_search(x, y, unbiased=unbiased)
    assert_close(found, naive_rows(x, y, unbiased=unbiased), dtype)


@pytest.mark.parametrize(("dtype", "unbiased"), [(torch.float64, False), (torch.float32, True)])
@pytest.mark.parametrize("which", ["a", "b", "both", "per row"])
@pytest.mark.parametrize(("n", "m"), [(2, 63), (257, 500)])
def test_weighted_rows_agree_with_direct_sums(n, m, which, dtype, unbiased):
    x, y = sample("ties", 2, n, m, dtype)
    lead = (2,) if which == "per row" else ()
    a = None if which == "b" else weights((*lead, n), dtype)
    b = None if which == "a" else weights((m,), dtype)
    if unbiased and n == 2:
        a = None
        b = weights((m,), dtype)
    found = sort_and_search(x, y, a, b, unbiased=unbiased)
    assert_close(found, naive_rows(x, y, a, b, unbiased=unbiased), dtype)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("n", "m", "kind"), cases(SHORT_SIZES))
def test_short_rows_agree_with_direct_sums(n, m, kind, unbiased):
    if unbiased and min(n, m) == 1:
        n, m = n + 1, m + 1
    x, y = sample(kind, 2, n, m, torch.float32)
    found = short_rows(x, y, None, unbiased, True, True)
    assert_close(found, naive_rows(x, y, unbiased=unbiased), torch.float32)


@pytest.mark.parametrize(("n", "m"), [(128, 65), (100, 127)])
def test_short_rows_in_a_larger_block(n, m):
    x, y = sample("ties", 1, n, m, torch.float32)
    found = short_rows(x, y, None, True, True, True)
    assert_close(found, naive_rows(x, y, unbiased=True), torch.float32)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_non_finite_point_shows_in_the_value_of_its_row_alone():
    x, y = sample("ties", 10, 16, 9, torch.float32)
    bad = torch.tensor([float("nan"), -float("nan"), float("inf"), -float("inf")])
    x[1:5, 7], y[5:9, 7] = bad, bad
    for values, _, _ in (short_rows(x, y, None, False, True, True), sort_and_search(x, y)):
        assert values.isfinite().tolist() == [True, *[False] * 8, True]


def test_nan_with_the_bits_of_the_padding_key():
    x, y = sample("normal", 1, 5, 6, torch.float32)
    x.view(torch.int32)[0, 2] = 0x7FFFFFFF
    y.view(torch.int32)[0, 3] = -1
    assert short_rows(x, y, None, False, True, True)[0].isnan().all()


def test_shuffled_copies_are_at_distance_zero():
    x = sample("ties", 2, 16, 1, torch.float32)[0]
    y = x[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    for found in (short_rows(x, y, None, False, True, True), sort_and_search(x, y)):
        assert all((part == 0).all() for part in found)


def test_repeated_copies_are_at_distance_zero():
    x = sample("normal", 2, 5, 1, torch.float32)[0]
    y = x.repeat(1, 3)
    for found in (short_rows(x, y, None, False, True, True), sort_and_search(x, y)):
        assert all((part == 0).all() for part in found)


def test_shuffling_changes_no_bit():
    x, y = sample("ties", 1, 16, 13, torch.float32)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    for run in (
        lambda x: short_rows(x, y, None, False, True, True),
        lambda x: sort_and_search(x, y),
    ):
        values, gx, gy = run(x)
        shuffled = run(x[:, order].contiguous())
        for one, other in zip((values, gx[:, order], gy), shuffled, strict=True):
            assert torch.equal(one, other)


def test_presorted_rows_with_a_permutation_of_their_own():
    x, y = sample("normal", 1, 700, 300, torch.float64)
    xs, ys = x.sort(dim=1).values, y.sort(dim=1).values
    backwards = torch.arange(699, -1, -1)[None]
    gx = poison(x)
    at = torch.arange(300)[None]
    nothing = y[:0]
    values = sorted_rows(SortedRows(xs, backwards), SortedRows(ys, at), gx, nothing, unbiased=False)
    expected, gradient, _ = naive_rows(xs, ys)
    assert_close((values, gx), (expected, gradient.flip(1)), torch.float64)


@pytest.mark.parametrize("wrt", [(), ("x",), ("y",), ("x", "y")])
@pytest.mark.parametrize("weighted", [False, True])
def test_only_the_wanted_gradients_are_there(wrt, weighted):
    x, y = sample("normal", 2, 14, 10, torch.float32)
    a = weights((14,), torch.float32) if weighted else None
    found = energy_rows(x, y, a, wrt=wrt)
    expected = naive_rows(x, y, a)
    assert [g is not None for g in found[1:]] == ["x" in wrt, "y" in wrt]
    for f, e in zip(found, expected, strict=True):
        assert f is None or relative_error(f, e) <= 1e-5


def test_rows_in_chunks_are_the_same_rows(monkeypatch):
    x, y = sample("ties", 5, 30, 20, torch.float64)
    a = weights((5, 30), torch.float64)
    whole = energy_rows(x, y, a, wrt=("x", "y"))
    monkeypatch.setattr(triton_rows, "workspace_bytes", lambda device: 2 * 40 * 50)
    for one, other in itertools.zip_longest(whole, energy_rows(x, y, a, wrt=("x", "y"))):
        assert torch.equal(one, other)


def test_prefix_sums_carry_from_block_to_block():
    x, y = sample("normal", 1, 2 * PREFIX_BLOCK + 1, 3, torch.float64)
    a = weights((2 * PREFIX_BLOCK + 1,), torch.float64)
    assert_close(sort_and_search(x, y, a), naive_rows(x, y, a), torch.float64)


def test_no_rows():
    x, y = torch.empty(0, 5), torch.empty(0, 4)
    values, gx, gy = energy_rows(x, y, wrt=("x", "y"))
    assert (values.shape, gx.shape, gy.shape) == ((0,), (0, 5), (0, 4))


def test_strided_rows():
    x, y = sample("normal", 9, 4, 4, torch.float32)
    assert_close(energy_rows(x.T, y.T)[:2], naive_rows(x.T, y.T)[:2], torch.float32)


def test_the_operator_is_registered_as_compilers_need_it():
    x, y = sample("normal", 2, 6, 5, torch.float64)
    a = weights((6,), torch.float64)
    operator = torch.ops.energyflow.energy_rows.default
    tests = ("test_schema", "test_faketensor")
    for want_x, want_y in itertools.product([False, True], repeat=2):
        torch.library.opcheck(operator, (x, y, a, None, True, want_x, want_y), test_utils=tests)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, (torch.ones(2, 0), torch.ones(2, 3)), "points in it"),
        (ValueError, (torch.ones(2, 4), torch.ones(3, 3)), "do not match"),
        (TypeError, (torch.ones(2, 4), torch.ones(2, 3).double()), "float32 or float64"),
        (TypeError, (torch.ones(2, 4).half(), torch.ones(2, 3).half()), "float32 or float64"),
        (ValueError, (torch.ones(2, 4), torch.ones(2, 3), torch.ones(3)), "a must be"),
        (TypeError, (torch.ones(2, 4), torch.ones(2, 3, device="meta")), "one device"),
    ],
)
def test_bad_input_is_named(error, arguments, message):
    with pytest.raises(error, match=message):
        energy_rows(*arguments)


def test_bad_options_are_named():
    x, y = torch.ones(2, 1), torch.ones(2, 3)
    with pytest.raises(ValueError, match="two points or more in x"):
        energy_rows(x, y, unbiased=True)
    with pytest.raises(ValueError, match="wrt"):
        energy_rows(x, y, wrt=("z",))
