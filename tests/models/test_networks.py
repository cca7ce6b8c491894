"""Networks: shapes, sizes, and what they are told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from energyflow.models import MLP, PRESETS, FlowMatching, UNet, count_parameters
from energyflow.models._networks import in_parts, suited
from energyflow.models._weights import NetworkFactory, OwnGenerator

needs_diffusers = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("diffusers") is None,
    reason="networks for images need diffusers",
)


@pytest.mark.parametrize("shape", [(1,), (7,), (1, 8, 8), (3, 4, 4)])
@pytest.mark.parametrize("conditions", [[], [(3,)], [(2, 4, 4), (5,)]])
def test_an_mlp_keeps_the_shape(shape, conditions) -> None:
    network = MLP(width=8, depth=2).build(shape, conditions)
    x = torch.rand(5, *shape)
    assert network(x, *(torch.rand(5, *c) for c in conditions)).shape == x.shape


@pytest.mark.parametrize("conditions", [[], [(3,)]])
def test_frequencies_are_of_points_alone(conditions) -> None:
    network = MLP(width=8, depth=1, frequencies=2).build((2,), conditions)
    seen: list[torch.Tensor] = []
    network.first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x, c = torch.rand(5, 2), [torch.rand(5, *size) for size in conditions]
    network(x, *c)
    waves = [f(np.pi * k * x) for k in (1, 2) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(seen[0], torch.cat([x, *c, *waves], dim=1))


@needs_diffusers
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10), (1, 28, 28), (2, 7, 9)])
def test_a_unet_keeps_the_shape(shape) -> None:
    network = UNet(channels=4, residual_blocks=1).build(shape, [(3,), (2, 5, 5)])
    x = torch.rand(2, *shape)
    assert network(x, torch.rand(2, 3), torch.rand(2, 2, 5, 5)).shape == x.shape


@needs_diffusers
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 13)])
@pytest.mark.parametrize("patch", [2, 3])
def test_a_unet_of_patches(shape, patch: int) -> None:
    form = UNet(channels=4, multipliers=(1, 2), residual_blocks=1, patch=patch, attention=False)
    network = form.build(shape, [(3,), (2, *shape[1:])])
    x = torch.rand(2, *shape)
    assert network(x, torch.rand(2, 3), torch.rand(2, 2, *shape[1:])).shape == x.shape
    assert network.inner.conv_in.in_channels == (shape[0] + 2) * patch**2
    assert not any("Attention" in type(module).__name__ for module in network.modules())
    x = torch.rand(1, shape[0], 26, 39)  # another size
    assert network(x, torch.rand(1, 3), torch.rand(1, 2, 26, 39)).shape == x.shape


@needs_diffusers
@pytest.mark.parametrize("channels", [6, 33, 48])
def test_a_unet_of_any_width(channels: int) -> None:
    network = UNet(channels, (1, 2), residual_blocks=1).build((1, 1, 1), [])
    assert network(torch.rand(2, 1, 1, 1)).shape == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MLP(width=0), "width must be at least 1"),
        (lambda: MLP(depth=-1), "depth must be at least 0"),
        (lambda: UNet(channels=0), "channels must be at least 1"),
        (lambda: UNet(multipliers=()), "multipliers must have 1 to 16 entries"),
        (lambda: UNet(multipliers=(1, 0)), "multipliers must be at least 1"),
    ],
)
def test_bad_architectures(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@needs_diffusers
def test_a_unet_sees_its_condition() -> None:
    network = UNet(channels=4, residual_blocks=1).build((1, 8, 8), [(3,)])
    x = torch.rand(1, 1, 8, 8)
    first, second = (network(x, row[None]) for row in torch.eye(3)[:2])
    assert not torch.allclose(first, second)


@needs_diffusers
def test_a_unet_embeds_vectors_and_takes_images_as_channels() -> None:
    """Labels and times cost no channel, and a small change of the time is seen."""
    network = UNet(channels=4, residual_blocks=1).build((1, 8, 8), [(10,), (2, 4, 4), (1,)])
    assert network.inner.conv_in.in_channels == 1 + 2
    x, label, image = torch.rand(2, 1, 8, 8), torch.eye(10)[:2], torch.rand(2, 2, 4, 4)
    times = torch.tensor([[0.5], [0.5]])
    at = network(x, label, image, times)
    torch.testing.assert_close(at, network(x, label, image, times))
    apart = [network(x, label, image, times + shift) - at for shift in (1e-3, 0.1)]
    assert 0 < apart[0].norm() < apart[1].norm()


@needs_diffusers
@pytest.mark.parametrize("preset", ["mnist", "fashion-mnist"])
def test_the_number_of_parameters_of_the_paper(preset: str) -> None:
    form = PRESETS[preset].settings.architecture
    assert form is not None
    network = form.build((1, 28, 28), [])
    assert count_parameters(network) / 1e6 == pytest.approx(3.41, rel=0.01)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "a name such as 'cpu' or 'cuda', got 'gpu'"),
        ("meta", "one that holds numbers"),
        ("cuda:99", "one of this machine, got 'cuda:99'"),
    ],
)
def test_devices_that_are_not_there(device: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"device must be {message}"):
        FlowMatching(device=device)


def test_the_shape_decides() -> None:
    assert isinstance(suited((2,)), MLP)
    assert isinstance(suited((1, 8, 8)), MLP)
    assert isinstance(suited((3, 32, 32)), UNet)
    with pytest.raises(ValueError, match=r"a UNet needs images \(C, H, W\)"):
        UNet().build((5,), [])


def test_parts_make_the_whole(monkeypatch) -> None:
    network = MLP(width=8, depth=1).build((3,), [(2,)])
    x, c = torch.rand(11, 3), torch.rand(11, 2)
    whole = network(x, c).detach()
    monkeypatch.setattr("energyflow.models._networks.PART", 4)
    parts = in_parts(network, x, c).detach()
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_presets_say_whether_they_were_run() -> None:
    for name in ("mnist", "fashion-mnist", "cifar10", "celeba"):
        assert not PRESETS[name].tested
        assert "not yet run" in PRESETS[name].note
    assert PRESETS["digits"].tested


def test_first_weights_are_those_of_the_seed_whatever_other_threads_do() -> None:
    def made(seed: int) -> torch.Tensor:
        def build() -> torch.nn.Module:
            barrier.wait()
            return MLP(width=64, depth=6).build((5,), [])

        factory = NetworkFactory(build, given=False, seed=seed, device=torch.device("cpu"))
        return torch.cat([p.flatten() for p in factory.new().parameters()]).detach()

    barrier = Barrier(1)
    alone = [made(seed) for seed in range(8)]
    barrier, state = Barrier(8), torch.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(made, range(8)))
    assert all(map(torch.equal, together, alone))
    assert not torch.equal(alone[0], alone[1])
    assert torch.equal(torch.get_rng_state(), state)


@needs_diffusers
def test_the_parts_are_as_large_as_memory_allows(monkeypatch) -> None:
    network, seen = UNet(channels=8).build((1, 16, 16), []).eval(), []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    x = torch.rand(100, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = in_parts(network, x)
        assert seen == [1, 100]
        monkeypatch.setattr("energyflow._core.memory.PART", 2**25)
        parts = in_parts(network, x)
    assert 8 < seen[3] < 50
    assert sum(seen[3:]) == 100
    torch.testing.assert_close(parts, whole)


@needs_diffusers
def test_first_weights_are_those_after_seeding_torch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        wanted = UNet(channels=8).build((1, 8, 8), []).state_dict()
    with OwnGenerator(5):
        found = UNet(channels=8).build((1, 8, 8), []).state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
