"""Tensors by name in safetensors files, and folders that are complete or absent."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from .._core.files import atomic_write, remove_parts

Tensors = dict[str, torch.Tensor]


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors to one file, whole or not at all."""
    hosted = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    with atomic_write(path) as handle:
        handle.write(save(hosted))


def read_tensors(path: Path) -> Tensors:
    """Read what `write_tensors` wrote.

    Raises
    ------
    OSError, ValueError
        The file is not there, or is cut short or damaged; it is named.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        loaded: Tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a whole safetensors file: {error}") from None
    return loaded


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`; it gets that name once it is complete.

    What killed writers of the same folder have left goes.
    """
    path = Path(os.path.abspath(path))
    remove_parts(path.parent, path.name)
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The tensors with a prefix to their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Those tensors whose names have the prefix, without it."""
    start = f"{prefix}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def load_weights(
    network: torch.nn.Module, weights: Tensors, origin: str, *, assign: bool = False
) -> None:
    """Give a network its weights; where they do not fit, say where they came from.

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


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
