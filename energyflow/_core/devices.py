"""Devices of torch, by name: each is checked before anything is trained or read on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def as_device(device: str | torch.device | None) -> torch.device:
    """The device of that name; when None, CUDA if there is one, else the CPU.

    Raises
    ------
    TypeError, ValueError
        It is no name of a device, or of one that is not there.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str | torch.device):
        raise TypeError(
            f"device must be a name such as 'cpu' or 'cuda', got {type(device).__name__}"
        )
    try:
        named = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device must be a name such as 'cpu' or 'cuda', got {device!r}") from None
    if named.type == "meta":
        raise ValueError("device must be one that holds numbers, got 'meta'")
    try:
        torch.zeros(1, device=named).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"device must be one of this machine, got {str(named)!r} ({reason}); "
            "'cpu' is always there"
        ) from None
    return named
