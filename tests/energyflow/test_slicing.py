"""Structured projectors: maps and their transposes, constants, and what they leave biased."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from energyflow_backends import Projector
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag, hadamard

import energyflow as ef
from energyflow._core.random import as_source
from energyflow._slices.directions import resolve_slicing, sampled_projector
from energyflow._slices.hadamard import HadamardProjector, transform
from energyflow._slices.slicing import Slicing

IMAGE = (2, 6, 5)
PATCHES = ef.PatchSlicing(IMAGE, size=2, scales=(0, 1))
BESIDE = ef.PatchSlicing((2, 5, 5), size=2, scales=(0, 1), beside=10)
WAYS = [
    ("iid", 5), ("distance", 3), ("hadamard", 5), ("hadamard", 64), ("hadamard", 100),
    (ef.HadamardSlicing(rounds=1), 9), (PATCHES, 60), (BESIDE, 60),
]  # fmt: skip


def drawn(way, n, d, seed=0, step=0):
    return sampled_projector(n, d, way, as_source(seed), step)


def matrix(projector, d):
    """The directions (P, d), as the projections of the unit vectors."""
    return projector.project(np.eye(d))


@pytest.mark.parametrize(("way", "d"), WAYS)
@pytest.mark.parametrize("n", [1, 63, 130])
def test_back_projection_is_the_transpose(rng, way, d, n):
    projector = drawn(way, n, d)
    assert isinstance(projector, Projector)
    assert projector.n_projections == n
    theta = matrix(projector, d)
    assert theta.shape == (n, d)
    x, g = rng.normal(size=(2, 7, d)), rng.normal(size=(2, n, 7))
    np.testing.assert_allclose(
        projector.project(x), theta @ np.swapaxes(x, 1, 2), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        projector.project_back(g), np.swapaxes(g, 1, 2) @ theta, rtol=1e-12, atol=1e-12
    )


@given(
    way=st.sampled_from(WAYS),
    n=st.integers(1, 200),
    size=st.integers(1, 250),
    seed=st.integers(0, 99),
)
def test_blocks_are_the_whole_in_pieces(way, n, size, seed):
    way, d = way
    whole = drawn(way, n, d, seed)
    x = np.random.default_rng(seed).normal(size=(3, d))
    blocks = list(whole.blocks(size))
    assert all(block.n_projections <= size for block in blocks)
    rows = [block.project(x) for block in blocks]
    np.testing.assert_allclose(np.concatenate(rows), whole.project(x), rtol=1e-12, atol=1e-12)
    back = sum(block.project_back(row**2) for block, row in zip(blocks, rows, strict=True))
    np.testing.assert_allclose(back, whole.project_back(whole.project(x) ** 2), atol=1e-10)
    assert {block.constant(0.7) for block in blocks} == {whole.constant(0.7)}


@pytest.mark.parametrize(("way", "d"), WAYS)
def test_every_library(xp, way, d):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, d)), rng.normal(size=(2, 6, d)) + 1
    expected = ef.sliced_energy_value_and_gradient(
        x, y, None, None, 70, slicing=way, rng=1, chunk_size=30
    )
    got = ef.sliced_energy_value_and_gradient(
        xp.asarray(x), xp.asarray(y), None, None, 70, slicing=way, rng=1
    )
    for array, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(xp.to_numpy(array), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("way", "d"), WAYS)
def test_steps_draw_afresh_and_are_repeatable(way, d):
    one, again, later = (matrix(drawn(way, 40, d, 3, step), d) for step in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, later)


@pytest.mark.parametrize("length", [1, 2, 4, 32, 64, 512, 1024, 2048])
def test_transform_is_the_walsh_hadamard_matrix(rng, length):
    x = rng.normal(size=(3, 2, length))
    expected = x @ hadamard(length) / np.sqrt(length)
    np.testing.assert_allclose(transform(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rounds", [None, 1, 4])
def test_hadamard_rows_are_those_of_the_product(rounds):
    d, n = 70, 300
    projector = ef.HadamardSlicing(rounds).projector(n, d, as_source(0))
    assert isinstance(projector, HadamardProjector)
    products = projector.structure(np.empty(0))
    assert products.signs.shape == (3, rounds or 3, 128)
    assert set(np.unique(products.signs)) == {-1, 1}
    rows = []
    for block, picked in zip(products.signs, products.picked, strict=True):
        product = np.eye(128)
        for s in block:
            product = hadamard(128) @ (s[:, None] * product) / np.sqrt(128)
        np.testing.assert_allclose(product @ product.T, np.eye(128), atol=1e-12)
        rows.append(product[picked, :d])
    assert [len(r) for r in rows] == [128, 128, 44]
    assert len(set(products.picked[2].tolist())) == 44
    np.testing.assert_allclose(matrix(projector, d), np.concatenate(rows), atol=1e-12)


def test_default_rounds():
    for d, rounds, length in ((1, 3, 64), (64, 3, 64), (65, 3, 128), (784, 2, 1024)):
        projector = ef.HadamardSlicing().projector(10, d, as_source(0))
        assert projector.structure(np.empty(0)).signs.shape == (1, rounds, length)


def hadamard_ratio(d, rounds, exponent, points):
    """Sliced powers of norms over the powers, in the mean over many draws."""
    total = 0.0
    for seed in range(40):
        projector = ef.HadamardSlicing(rounds).projector(2048, d, as_source(seed))
        powers = np.abs(projector.project(points)) ** exponent
        total = total + projector.constant(exponent) * powers.mean(axis=0)
    return total / 40 / np.linalg.norm(points, axis=1) ** exponent


@pytest.mark.parametrize(("exponent", "bias"), [(0.5, 0.012), (1.0, 0.006), (1.5, 0.006)])
@pytest.mark.parametrize("d", [2, 64, 100, 200])
def test_hadamard_lengths_are_nearly_right(d, exponent, bias):
    along = np.zeros((3, d))
    along[0, 0] = along[1, 0] = 1
    along[1, 1] = -1
    along[2, :] = np.random.default_rng(0).normal(size=d)
    np.testing.assert_allclose(hadamard_ratio(d, None, exponent, along), 1, atol=bias)


def test_one_round_is_far_from_uniform():
    ratio = hadamard_ratio(64, 1, 1.0, np.eye(64)[:1])
    np.testing.assert_allclose(ratio, np.sqrt(np.pi / 2), rtol=1e-2)


def test_hadamard_gradient_bias_is_below_one_percent():
    d = 64
    # all differences lie along one or two coordinates, the worst case
    x, y = np.eye(d)[:6], np.zeros((3, d))
    y[0, 0], y[1, 10] = 3, 2
    exact = ef.energy_gradient(x, y)
    draws = np.stack(
        [
            ef.sliced_energy_gradient(x, y, None, None, 2**14, slicing="hadamard", rng=seed)
            for seed in range(20)
        ]
    )
    noise = np.sum(draws.var(axis=0, ddof=1)) / len(draws)
    size = np.sum(exact**2)
    assert noise < 0.015**2 * size
    assert np.sum((draws.mean(axis=0) - exact) ** 2) - noise < 0.01**2 * size


def patch_maps(slicing):
    """A_q for every place and scale, in plain loops."""
    channels, height, width = slicing.shape
    maps = []
    for scale in slicing.scales:
        for top in range(height):
            for left in range(width):
                rows = []
                for c in range(channels):
                    for i in range(slicing.size):
                        for j in range(slicing.size):
                            cell = np.zeros(slicing.shape)
                            for u in range(scale + 1):
                                for v in range(scale + 1):
                                    row = (top + i * (scale + 1) + u) % height
                                    column = (left + j * (scale + 1) + v) % width
                                    cell[c, row, column] = 1 / (scale + 1)
                            rows.append(cell.reshape(-1))
                maps.append(block_diag(np.array(rows), np.eye(slicing.beside)))
    return maps


@pytest.mark.parametrize("slicing", [PATCHES, BESIDE])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_patches_give_the_mean_of_distances_of_patches(exponent, slicing):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 60)), rng.normal(size=(4, 60)) + 1
    expected = np.mean(
        [ef.energy_distance(x @ a.T, y @ a.T, exponent=exponent) for a in patch_maps(slicing)]
    )
    how = {"slicing": slicing, "exponent": exponent}
    values = [
        float(ef.sliced_energy_distance(x, y, None, None, 640, rng=seed, **how))
        for seed in range(100)
    ]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert error < 0.01 * expected
    assert abs(np.mean(values) - expected) < 3.5 * error


def test_patches_share_one_place_in_groups_and_see_it_alone():
    theta = matrix(drawn(PATCHES, 70, 60), 60)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, atol=1e-12)
    spans = {np.linalg.matrix_rank(a): a for a in patch_maps(PATCHES)}
    assert set(spans) == {8}
    maps = patch_maps(PATCHES)
    for group in (theta[:32], theta[32:64], theta[64:]):
        assert any(np.allclose(group @ a.T @ a, group) for a in maps)


def test_patches_of_a_channel_and_the_size_of_the_image():
    slicing = ef.PatchSlicing((1, 28, 28))
    projector = slicing.projector(100, 784, as_source(0))
    assert projector.constant(1.0) == ef.slicing_constant(49)
    assert not slicing.unbiased


@pytest.mark.parametrize("way", ["hadamard", PATCHES])
def test_flows_go_on_with_the_way_of_slicing_that_they_had(rng, way):
    target, start = rng.normal(size=(8, 60)), rng.normal(size=(8, 60)) + 3

    def flow(slicing):
        return ef.ParticleFlow(target, slicing=slicing, n_projections=40, rng=0)

    whole = flow(way).run(start, 8, progress=False)
    half = flow(way).run(start, 4, progress=False)
    again = flow(way).run(half, 4, progress=False)
    np.testing.assert_array_equal(again.particles, whole.particles)
    assert ef.energy_distance(whole.particles, target) < ef.energy_distance(start, target)
    with pytest.raises(ValueError, match="slicing"):
        flow("iid").run(half, 2, progress=False)


def test_differentiated_and_traced():
    import jax
    import torch

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 60)), rng.normal(size=(5, 60))
    for way in ("hadamard", PATCHES):
        how = {"n_projections": 40, "slicing": way, "rng": 0}
        expected = ef.sliced_energy_gradient(x, y, **how)
        tx = torch.tensor(x, requires_grad=True)
        ef.sliced_energy_distance(tx, torch.tensor(y), **how).backward()
        np.testing.assert_allclose(tx.grad.numpy(), expected, rtol=1e-9, atol=1e-12)
        jitted = jax.jit(jax.grad(partial(ef.sliced_energy_distance, **how)))
        got = jitted(*map(jax.numpy.asarray, (x, y)))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_device_generators():
    import jax
    import torch

    x = torch.randn(10, 70, generator=torch.Generator().manual_seed(0))
    one, two = (
        ef.sliced_energy_gradient(
            x, x + 1, None, None, 200, slicing="hadamard", rng=torch.Generator().manual_seed(1)
        )
        for _ in range(2)
    )
    assert torch.equal(one, two)

    @jax.jit
    def gradient(points, key):
        return ef.sliced_energy_gradient(
            points, points + 1, None, None, 200, slicing="hadamard", rng=key
        )

    points = jax.numpy.asarray(x.numpy())
    one, two = (gradient(points, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(one, two)


class AlongAxes(Slicing):
    """A user's own: coordinates in turn."""

    name = "axes"
    unbiased = False

    def projector(self, n, d, source, step=0):
        from energyflow._slices.projectors import DenseProjector

        return DenseProjector(np.eye(d)[np.arange(n) % d])


def test_ways_of_ones_own(rng):
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    got = ef.sliced_energy_distance(x, y, None, None, 3, slicing=AlongAxes())
    expected = ef.sliced_energy_distance(x, y, projections=np.eye(3))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_every_way_says_whether_it_is_unbiased():
    for name in ("iid", "orthogonal", "sobol", "distance"):
        assert resolve_slicing(name, 8, 5).unbiased
    assert resolve_slicing("equispaced", 8, 2).unbiased
    assert resolve_slicing("auto", 8, 500).unbiased
    assert not resolve_slicing("hadamard", 8, 5).unbiased


@pytest.mark.parametrize(
    ("side", "size", "scales"),
    [(28, 7, (0, 1, 2, 3)), (27, 7, (0, 1, 2)), (8, 7, (0,)), (8, 4, (0, 1))],
)
def test_patches_take_the_scales_that_fit(side: int, size: int, scales: tuple[int, ...]) -> None:
    assert ef.PatchSlicing((1, side, side), size).scales == scales


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: resolve_slicing("patches", 8, 5), ValueError, r"PatchSlicing\(shape\)"),
        (lambda: resolve_slicing("haar", 8, 5), ValueError, "hadamard; got 'haar'"),
        (lambda: resolve_slicing(3, 8, 5), TypeError, "slicing must be"),
        (lambda: resolve_slicing("equispaced", 8, 5), ValueError, "2 dimensions, got 5"),
        (lambda: resolve_slicing("sobol", 8, 30_000), ValueError, "1 to 21201 dimensions"),
        (lambda: resolve_slicing(PATCHES, 8, 59), ValueError, "60 dimensions, got 59"),
        (lambda: ef.sample_projections(8, 5, method="hadamard"), ValueError, "method"),
        (lambda: ef.HadamardSlicing(0), ValueError, "rounds must be at least 1"),
        (lambda: ef.PatchSlicing((1, 8, 9), size=9), ValueError, "at most the images' 8 pixels"),
        (
            lambda: ef.PatchSlicing((1, 8, 8), 3, (0, 1, 2, 3)),
            ValueError,
            "scales must be at most 1 for patches of size 3 in images of 8 pixels, got 3",
        ),
        (lambda: ef.PatchSlicing((28, 28)), ValueError, r"\(channels, height, width\)"),
        (lambda: ef.PatchSlicing((1, 9, 9), scales=()), ValueError, "not empty"),
        (lambda: ef.PatchSlicing((1, 9, 0)), ValueError, "shape"),
        (lambda: ef.PatchSlicing((1, 9, 9), scales=(-1,)), ValueError, "scales"),
        (lambda: ef.PatchSlicing((1, 9, 9), size=1.5), TypeError, "size"),
        (lambda: ef.PatchSlicing((1, 9, 9), beside=-1), ValueError, "beside must be at least 0"),
        (lambda: resolve_slicing(BESIDE, 8, 50), ValueError, "10 numbers beside .* 60 dimensions"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


class _Nothing(ef.Slicing):
    name = "nothing"
    unbiased = True

    def projector(self, n, d, source, step=0):
        return None


@pytest.mark.parametrize(
    ("slicing", "message"),
    [
        (None, "name or a Slicing object, got NoneType"),
        (ef.HadamardSlicing, "make an object of it"),
        (_Nothing(), "'nothing' must make a projector"),
    ],
)
def test_what_is_no_way_of_slicing(slicing, message):
    with pytest.raises(TypeError, match=message):
        ef.sliced_energy_distance(np.ones((3, 2)), np.ones((4, 2)), slicing=slicing)


@pytest.mark.parametrize("wrong", [{"shape": 28}, {"shape": (1, 28, 28), "scales": 3}])
def test_patches_want_tuples(wrong):
    with pytest.raises(TypeError, match="must be a tuple, got int"):
        ef.PatchSlicing(**wrong)
