"""Affine maps that are learned from data and kept in files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from ..._core.files import load_array, write_arrays


class AffineMap:
    """A matrix (k, d) and an offset (d,): fields of a subclass, which gives their names."""

    _matrix_and_offset: ClassVar[tuple[str, str]]

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        write_arrays(path, {name: getattr(self, name) for name in self._matrix_and_offset})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError
            If the file cannot be read, or is damaged.
        """
        names = cls._matrix_and_offset
        matrix, offset = (load_array(f"{path}:{name}") for name in names)
        if matrix.ndim != 2 or matrix.shape[1:] != offset.shape:
            raise ValueError(
                f"{path}: expected arrays {names[0]} (k, d) and {names[1]} (d,), "
                f"got {matrix.shape} and {offset.shape}"
            )
        return cls(**dict(zip(names, (matrix, offset), strict=True)))
