"""Optional packages, and errors that say how to install them."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec

_log = logging.getLogger("energyflow")
_DISTRIBUTIONS = {
    "PIL": "Pillow", "ot": "POT", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "torch_fidelity": "torch-fidelity",
}  # fmt: skip


def has(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    return find_spec(module) is not None


@cache
def has_for(what: str, module: str, extra: str) -> bool:
    """Whether a module is installed; where it is not, the log says once that `what` is left out."""
    installed = has(module)
    if not installed:
        _log.warning("%s left out without %s: pip install %s", what, *_to_install(module, extra))
    return installed


def need(module: str, what: str, extra: str = "", *, install: str = "") -> None:
    """Check that what `what` needs is installed.

    Raises
    ------
    ModuleNotFoundError
        If the module is missing; the message says how to install it: by an extra of this library,
        or as `install` says.
    """
    if not has(module):
        name, how = _to_install(module, extra)
        raise ModuleNotFoundError(f"{what} needs {name}: pip install {install or how}", name=module)


def _to_install(module: str, extra: str) -> tuple[str, str]:
    """The name of what is missing, and what pip is to install: an extra of this library."""
    return _DISTRIBUTIONS.get(module, module), f"-e '.[{extra}]'"
