"""Well-spread sets: what the optimiser finds, the table, and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import energyflow as ef
from energyflow._slices import spread_store
from energyflow._slices.directions import resolve_slicing
from energyflow._slices.spread_sets import sum_and_ascent, well_spread
from energyflow._slices.spread_store import TABLE_DIMENSIONS, TABLE_SIZES, set_size, spread_set


def on_sphere(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(spread_store, "cache_folder", lambda: tmp_path / "energyflow")
    spread_set.cache_clear()
    yield tmp_path / "energyflow"
    spread_set.cache_clear()


def test_the_sum_is_over_all_ends_and_its_ascent_a_gradient(rng):
    t = on_sphere(rng.normal(size=(7, 4)))
    total, ascent = sum_and_ascent(t)
    ends = sum(np.linalg.norm(t[:, None] - sign * t, axis=2) for sign in (1, -1))
    np.testing.assert_allclose(total, ends.sum() - np.trace(ends), rtol=1e-12)
    np.testing.assert_allclose(np.sum(ascent * t, axis=1), 0, atol=1e-12)
    along = rng.normal(size=t.shape)
    step = 1e-5
    up, down = (sum_and_ascent(on_sphere(t + s * along))[0] for s in (step, -step))
    np.testing.assert_allclose((up - down) / (2 * step), 2 * np.sum(ascent * along), rtol=1e-6)


@pytest.mark.parametrize("d", [2, 3, 8])
def test_as_many_lines_as_dimensions_become_orthogonal(d):
    t = well_spread(d, d)
    np.testing.assert_allclose(np.abs(t @ t.T), np.eye(d), atol=1e-4)


def test_six_lines_in_space_are_the_diagonals_of_the_icosahedron():
    t = well_spread(6, 3)
    off = np.abs(t @ t.T)[~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(off, 5**-0.5, atol=1e-4)


def test_lines_in_the_plane_become_equispaced():
    t = well_spread(5, 2)
    angles = np.sort(np.arctan2(t[:, 1], t[:, 0]) % np.pi)
    np.testing.assert_allclose(np.diff(angles), np.pi / 5, atol=1e-3)


@pytest.mark.parametrize("d", TABLE_DIMENSIONS)
def test_the_table_holds_what_the_optimiser_finds(d):
    n = 64
    shipped, found = spread_set(n, d), well_spread(n, d)
    np.testing.assert_allclose(np.linalg.norm(shipped, axis=1), 1, atol=1e-14)
    sums = [sum_and_ascent(t)[0] for t in (shipped, found)]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-6)


def test_the_table_is_whole_and_small():
    for d in TABLE_DIMENSIONS:
        for n in TABLE_SIZES:
            assert spread_set(n, d).shape == (n, d)
            assert not spread_set(n, d).flags.writeable
    assert spread_store.TABLE.stat().st_size < 300_000


def test_the_table_can_be_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(spread_store, "TABLE_DIMENSIONS", (3,))
    monkeypatch.setattr(spread_store, "TABLE_SIZES", (50,))
    spread_store.write_table(tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz") as file:
        again = on_sphere(file["3x50"].astype(float))
    sums = [sum_and_ascent(t)[0] for t in (again, spread_set(50, 3))]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-6)


def test_sizes_of_joined_sets():
    for n in (1, 5, 640, 1000, 1001, 1500, 2048, 10_007):
        for d in (2, 3, 10, 100, 784, 5000):
            size = set_size(n, d)
            assert 1 <= size <= n
            assert d == 2 or size <= max(d, 1000)
            assert size <= d or d == 2 or size * d <= 2**17
    assert set_size(3, 2) == 3
    assert set_size(1000, 784) == 784
    assert set_size(1500, 3) == 500
    assert set_size(2048, 10) == 512
    assert set_size(1001, 3) == 501


def test_joined_sets_are_turned_independently():
    theta = ef.sample_projections(2000, 3, method="distance", rng=0)
    first, second = theta[:1000], theta[1000:]
    np.testing.assert_allclose(first @ first.T, second @ second.T, atol=1e-12)
    assert np.abs(first - second).max() > 0.1


def test_auto_never_optimises(cache):
    for n in (1, 3, 7, 50, 100, 129, 640, 1000, 1023, 1999, 3000):
        for d in (2, 3, 4, 7, 9, 10, 30):
            ef.sample_projections(n, d, rng=0)
    assert not cache.exists()
    assert resolve_slicing("auto", 128, 3).name == "distance"
    assert resolve_slicing("auto", 129, 3).name == "sobol"
    assert resolve_slicing("auto", 129, 30).name == "orthogonal"
    assert resolve_slicing("auto", 3, 5).name == "orthogonal"


def test_sets_are_kept_in_the_cache(cache, monkeypatch):
    first = ef.sample_projections(13, 3, method="distance", rng=0)
    (file,) = cache.iterdir()
    spread_set.cache_clear()
    monkeypatch.setattr(spread_store, "well_spread", None)
    np.testing.assert_array_equal(ef.sample_projections(13, 3, method="distance", rng=0), first)
    assert file.name == "spread-1-3x13.float64"


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "nan", "shape", "dtype", "scale"])
def test_a_damaged_cache_is_computed_anew(cache, damage):
    whole = spread_set(13, 3)
    spread_set.cache_clear()
    (file,) = cache.iterdir()
    kept = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(kept[:-9])
        case "text":
            file.write_text("not an array")
        case "empty":
            file.write_bytes(b"")
        case "nan":
            np.full((13, 3), np.nan).tofile(file)
        case "shape":
            whole[:5].tofile(file)
        case "dtype":
            whole.astype(np.float32).tofile(file)
        case "scale":
            (2 * whole).tofile(file)
    assert file.read_bytes() != kept
    np.testing.assert_array_equal(spread_set(13, 3), whole)
    assert file.read_bytes() == kept


def test_a_cache_that_cannot_be_written_is_no_error(cache):
    cache.write_text("in the way")
    assert spread_set(13, 3).shape == (13, 3)


def test_without_a_home_nothing_is_kept(cache, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(spread_store, "cache_folder", homeless)
    assert spread_set(13, 3).shape == (13, 3)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/energyflow"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/me/.cache/energyflow"),
        ("darwin", {}, "/home/me/Library/Caches/energyflow"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/energyflow"),
        ("win32", {"LOCALAPPDATA": ""}, "/home/me/AppData/Local/energyflow"),
    ],
)
def test_cache_folders_of_systems(monkeypatch, system, variables, expected):
    monkeypatch.setattr(spread_store.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert spread_store.cache_folder() == Path(expected)
