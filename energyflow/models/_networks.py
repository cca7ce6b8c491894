"""Networks that a model may be built of: an MLP for vectors, a UNet for images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .._core import memory
from .._core.checks import check_count
from .._core.extras import need
from ._fields import check_fields

_SMALL_IMAGE = 256  # up to so many numbers, an image is best treated as a vector
_MOST_LEVELS = 16  # of a UNet
_OCTAVES = 6  # of the sines and cosines of single numbers
_Channels = Annotated[int, partial(check_count, maximum=2**16)]
PART = 4096  # points that go through a network at once, at most
_ALWAYS = 8  # points, whatever memory they take


@dataclass(frozen=True)
class MLP:
    """Residual multilayer perceptron: `depth` blocks of two layers with `width` units, SiLU.

    Parameters
    ----------
    width : int
        Units of a layer.
    depth : int
        Blocks of two layers.
    frequencies : int
        The network sees each number x of a point and, for k below this, sin(pi 2^k x) and
        cos(pi 2^k x): with them it follows maps that change within a small part of the unit box.

    Raises
    ------
    TypeError, ValueError
        They are no whole numbers, or negative.
    """

    width: Annotated[int, partial(check_count, maximum=2**20)] = 256
    depth: Annotated[int, partial(check_count, minimum=0, maximum=1000)] = 3
    frequencies: Annotated[int, partial(check_count, minimum=0, maximum=64)] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def build(
        self,
        shape: Sequence[int],
        conditions: Sequence[Sequence[int]],
        outputs: Sequence[int] | None = None,
    ) -> nn.Module:
        """The network for points and conditions of these shapes; it gives points, or `outputs`."""
        extra = sum(_size(c) for c in conditions)
        return _MLP(self, tuple(shape), extra, tuple(outputs or shape))


@dataclass(frozen=True)
class UNet:
    """diffusers' UNet: residual blocks at each resolution, attention in the middle.

    Without attention it is fully convolutional: trained on crops, it takes images of any size.

    Conditions that are images are more channels of the input. Vectors, labels and times are
    embedded by two layers, and each residual block adds a linear map of the embedding; single
    numbers, such as times, enter by their sines and cosines too.

    Parameters
    ----------
    channels : int
        Channels at the finest resolution, times the first multiplier.
    multipliers : tuple of int
        Multiples of `channels` at each resolution, which is half of the last.
    residual_blocks : int
        Residual blocks at each resolution.
    patch : int
        Side of the squares of pixels that become channels of the finest resolution (space to
        depth): for larger images, a step costs patch^2 times less.
    attention : bool
        Whether all places of the coarsest resolution attend to each other.

    Raises
    ------
    TypeError, ValueError
        They are no whole numbers, not positive, or none.
    """

    channels: _Channels = 32
    multipliers: tuple[_Channels, ...] = (1, 2, 4)
    residual_blocks: Annotated[int, partial(check_count, maximum=100)] = 2
    patch: Annotated[int, partial(check_count, maximum=2**6)] = 1
    attention: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= len(self.multipliers) <= _MOST_LEVELS:
            raise ValueError(
                f"multipliers must have 1 to {_MOST_LEVELS} entries, got {len(self.multipliers)}"
            )

    def build(self, shape: Sequence[int], conditions: Sequence[Sequence[int]]) -> nn.Module:
        """The network for images of `shape` (C, H, W) and conditions of the given shapes."""
        if len(shape) != 3:
            raise ValueError(f"a UNet needs images (C, H, W), got points of shape {tuple(shape)}")
        for given in conditions:
            if len(given) not in (1, 3):
                raise ValueError(
                    "a UNet takes conditions that are vectors or maps, got series of shape "
                    f"{tuple(given)}: give an embedding of them"
                )
        return _UNet(self, int(shape[0]), [tuple(map(int, c)) for c in conditions])


Architecture = MLP | UNet


def suited(shape: Sequence[int]) -> Architecture:
    """An MLP for vectors and very small images, a UNet for other images."""
    return MLP() if is_small(shape) else UNet()


def unet_for(device: torch.device) -> UNet:
    """The UNet of which most is learned in the same time: on CPUs a narrow one."""
    return UNet(channels=16, residual_blocks=1) if device.type == "cpu" else UNet()


def is_small(shape: Sequence[int]) -> bool:
    """Whether points are vectors or very small images."""
    return len(shape) != 3 or _size(shape) <= _SMALL_IMAGE


def count_parameters(network: nn.Module) -> int:
    """How many numbers training may change.

    Parameters
    ----------
    network : Module
        Any of torch's.

    Returns
    -------
    int
    """
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def in_parts(
    function: Callable[..., Tensor],
    x: Tensor,
    *others: Tensor | None,
    once: Callable[..., object] | None = None,
) -> Tensor:
    """`function(x, *others)`, as many points at a time as `memory.PART` has room for.

    What is None stays None. once : a single pass through the network with the same arguments,
    where `function` makes many.
    """
    given = (x, *others)
    size = PART
    if len(x) > _ALWAYS:
        with torch.no_grad(), _Counting() as counted:
            (once or function)(*_rows(given, slice(1)))
        size = min(PART, max(_ALWAYS, memory.PART // max(counted.n_bytes, 1)))
    parts = [slice(first, first + size) for first in range(0, len(x), size)]
    return torch.cat([function(*_rows(given, part)) for part in parts])


def _rows(tensors: tuple[Tensor | None, ...], rows: slice) -> list[Tensor | None]:
    return [None if tensor is None else tensor[rows] for tensor in tensors]


class _Counting(TorchFunctionMode):
    """Inside, the bytes of all that torch's functions give in this thread."""

    n_bytes = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.n_bytes += result.numel() * result.element_size()
        return result


class _MLP(nn.Module):
    def __init__(
        self, form: MLP, shape: tuple[int, ...], extra: int, outputs: tuple[int, ...]
    ) -> None:
        super().__init__()
        size, width = _size(shape), form.width
        self.outputs = outputs
        self.factors = [math.pi * 2**k for k in range(form.frequencies)]
        self.first = nn.Linear(size * (1 + 2 * form.frequencies) + extra, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(form.depth)
        )
        self.last = nn.Linear(width, _size(outputs))

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        inputs = [v.flatten(1) for v in (x, *conditions)]
        angles = [factor * inputs[0] for factor in self.factors]
        inputs += [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
        hidden = self.first(torch.cat(inputs, dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        out: Tensor = self.last(functional.silu(hidden)).reshape(len(x), *self.outputs)
        return out


class _UNet(nn.Module):
    def __init__(self, form: UNet, channels: int, conditions: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        need("diffusers", "a network for images", "models")
        from diffusers import UNet2DModel

        levels = len(form.multipliers)
        vectors = [c[0] for c in conditions if len(c) == 1]
        maps = sum(c[0] for c in conditions if len(c) > 1)
        inner: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            in_channels=(channels + maps) * form.patch**2,
            out_channels=channels * form.patch**2,
            block_out_channels=tuple(form.channels * m for m in form.multipliers),
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            layers_per_block=form.residual_blocks,
            norm_num_groups=max(g for g in range(1, 33) if form.channels % g == 0),
            class_embed_type="identity",
            add_attention=form.attention,
        )
        inner.time_embedding = _NoTime()
        self.embedding = _Embedding(vectors, 4 * form.channels) if vectors else None
        if self.embedding is None:
            inner.class_embedding = None
            for module in inner.modules():
                if hasattr(module, "time_emb_proj"):
                    module.time_emb_proj = None
        self.inner = inner
        self.patch, self.multiple = form.patch, form.patch * 2 ** (levels - 1)

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        images = (as_maps(c, height, width) for c in conditions if c.ndim > 2)
        maps = torch.cat([x, *images], dim=1)
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = functional.pad(maps, padding, mode="replicate") if any(padding) else maps
        embedded = None
        if self.embedding is not None:
            embedded = self.embedding([c for c in conditions if c.ndim == 2])
        if self.patch > 1:
            padded = functional.pixel_unshuffle(padded, self.patch)
        out: Tensor = self.inner(padded, 0, class_labels=embedded, return_dict=False)[0]
        if self.patch > 1:
            out = functional.pixel_shuffle(out, self.patch)
        return out[..., :height, :width]


class _NoTime(nn.Module):
    """Stands where diffusers' UNet embeds the time, to which it adds the conditions' embedding."""

    def forward(self, *time: Any) -> float:
        return 0.0


class _Embedding(nn.Module):
    """Of vectors (B, m): single numbers with the sines and cosines of up to 32 half turns."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        n_inputs = sum(1 + 2 * _OCTAVES if size == 1 else size for size in sizes)
        self.layers = nn.Sequential(nn.Linear(n_inputs, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        inputs = []
        for v in vectors:
            inputs.append(v)
            if v.shape[1] == 1:
                angles = v * (math.pi * 2.0 ** torch.arange(_OCTAVES, device=v.device))
                inputs += [angles.sin(), angles.cos()]
        out: Tensor = self.layers(torch.cat(inputs, dim=1))
        return out


def as_maps(condition: Tensor, height: int, width: int) -> Tensor:
    """A vector (B, m) as constant maps; maps (B, C, h, w) at the size of the image."""
    if condition.ndim == 2:
        return condition[:, :, None, None].expand(-1, -1, height, width)
    if condition.shape[-2:] == (height, width):
        return condition
    return functional.interpolate(condition, (height, width), mode="bilinear", antialias=True)


def _size(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
