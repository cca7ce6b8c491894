"""Optional packages, and errors that say how to install them."""

from __future__ import annotations

from importlib.util import find_spec

_DISTRIBUTIONS = {
    "PIL": "Pillow", "ot": "POT", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "torch_fidelity": "torch-fidelity",
}  # fmt: skip


def has(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    return find_spec(module) is not None


def need(module: str, what: str, extra: str = "", *, install: str = "") -> None:
    """Check that what `what` needs is installed.

    Raises
    ------
    ModuleNotFoundError
        If the module is missing; the message says how to install it: by an extra of this library,
        or as `install` says.
    """
    if not has(module):
        name = _DISTRIBUTIONS.get(module, module)
        how = install or f"-e '.[{extra}]'"
        raise ModuleNotFoundError(f"{what} needs {name}: pip install {how}", name=module)
