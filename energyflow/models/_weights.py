"""Weights by name, and networks that are made of them."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .._core.random import keyed_generator

Tensors = dict[str, Tensor]

_DRAWS = {
    "bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_",
    "multinomial", "normal", "normal_", "rand", "randint", "randn", "randperm", "random_",
    "uniform_",
}  # fmt: skip


class OwnGenerator(TorchFunctionMode):
    """Inside, layers that this thread initialises draw from a generator of their own.

    Torch's global generator is neither read nor changed, and other threads draw as they please.
    The numbers are those after ``torch.manual_seed(seed)``.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if given.get("generator") is None and _takes_a_generator(func):
            given = {**given, "generator": self._generator}
        return func(*args, **given)


def _takes_a_generator(function: Any) -> bool:
    """Whether it draws: a function of torch's own by its name, those of `nn.init` by signature."""
    if inspect.isfunction(function):
        return "generator" in inspect.signature(function).parameters
    return getattr(function, "__name__", "") in _DRAWS


@dataclass(frozen=True)
class NetworkFactory:
    """Makes the networks of a model.

    build : gives a network, or a copy of the user's own, which is `given`.
    seed : initialises the layers; global random state is neither read nor changed.
    """

    build: Callable[[], nn.Module]
    given: bool
    seed: int
    device: torch.device

    def new(self) -> nn.Module:
        """A network on the device."""
        with OwnGenerator(int(keyed_generator(self.seed, "network").integers(2**62))):
            return self.build().to(self.device)

    def load(self, weights: Tensors, origin: str) -> nn.Module:
        """A network of these weights; it takes no memory before they fit."""
        if self.given:
            network = self.build()
            load_weights(network, weights, origin)
        else:
            with torch.device("meta"):  # nothing is drawn there
                network = self.build()
            load_weights(network, weights, origin, assign=True)
        return network.to(self.device).eval()


def layers_of(network: nn.Module) -> str:
    """Checksum of the names, shapes and dtypes of a network's weights."""
    held = {name: (tuple(v.shape), str(v.dtype)) for name, v in network.state_dict().items()}
    return f"{zlib.crc32(repr(held).encode()):08x}"


def code_of(network: nn.Module) -> str:
    """Checksum of the compiled methods of a network's modules, but for torch's own."""
    total = 0
    for kind in dict.fromkeys(type(module) for module in network.modules()):
        if kind.__module__.partition(".")[0] == "torch":
            continue
        for name, method in sorted(vars(kind).items()):
            if isinstance(code := getattr(method, "__code__", None), CodeType):
                plain = [value for value in code.co_consts if not isinstance(value, CodeType)]
                parts = (name, code.co_code, code.co_names, plain)
                total = zlib.crc32(repr(parts).encode(), total)
    return f"{total:08x}"


def load_weights(
    network: nn.Module, weights: Tensors, origin: str, *, assign: bool = False
) -> None:
    """Give a network its weights; where they do not fit, the error names their origin.

    assign: the network, which may be on torch's device "meta", takes copies of the tensors.
    """
    if assign:
        own = network.state_dict()
        weights = {
            name: tensor.to(own[name].dtype, copy=True) if name in own else tensor
            for name, tensor in weights.items()
        }
    try:
        network.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{origin}: the weights do not fit the network: {reason}") from None


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors with a prefix to their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Those tensors whose names have the prefix, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
