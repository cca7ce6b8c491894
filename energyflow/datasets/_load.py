"""Load data from any source, whose format is recognised by its content."""

from __future__ import annotations

import math
import os
from pathlib import Path

from .._core.checks import check_count
from .._core.extras import need
from .._core.reading import NPY, ZIP, naming, opened, split_key
from ._bytes import head
from ._cifar import is_cifar_folder, load_cifar_folder
from ._dataset import Dataset
from ._idx import MAGIC as IDX
from ._idx import load_idx_folder
from ._images import SUFFIXES, image_files, load_image_folder
from ._numpy_files import load_npy, load_npz
from ._split import from_arrays
from ._toys import TOYS, load_toy

N_TOY = 30_000
EXPECTED_FOLDER = (
    "expected a folder of MNIST's IDX files, of CIFAR-10's binary batches, or of images"
)


def load(
    source: str | os.PathLike[str],
    *,
    split: float = 0.2,
    size: int | None = None,
    n: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load data by name or from files, with a held-out part, scaled to [0, 1].

    Parameters
    ----------
    source : str or path
        One of

        - ``"digits"``: 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn;
        - ``"moons"``, ``"eight-gaussians"``, ``"checkerboard"``, ``"rings"``: toys in the plane;
        - a folder of IDX files (MNIST, FashionMNIST), plain or with .gz;
        - a folder of CIFAR-10's binary version;
        - a folder of PNG or JPEG images; subfolders are classes, and folders `train` and `test`
          are the two parts;
        - ``file.npy``: one array, vectors (n, d) or images (n, H, W), (n, C, H, W), (n, H, W, C);
        - ``file.npz``: arrays `train` and `test` (or `x_train`, ...) with `train_labels` and
          `test_labels` (or `y_train`, ...); or one of `x`, `data`, `images`, `samples`,
          `particles`, with `y` or `labels` or without; or ``file.npz:key``. Beside them
          `condition`, or `train_condition` and `test_condition`, are continuous conditions.

        Formats are recognised by the content of files, whatever their names.
    split : float
        Fraction held out where the source has no test part of its own: the same share of each
        class.
    size : int, optional
        Images of a folder are cropped to their middle square and resized to size x size pixels.
    n : int, optional
        Points of a toy, 30,000 when not given; as many more are held out.
    seed : int
        Seed of the split, or of the toy.

    Returns
    -------
    Dataset
        Vectors (n, d) or images (n, C, H, W), float32 in [0, 1]; labels int64 or None.

    Raises
    ------
    FileNotFoundError
        If nothing is at that path, or a file is missing in the folder.
    ValueError
        If a format is unknown or a file is damaged; the message names the file, what was expected
        and what came. Sizes that a file cannot hold are refused before memory is taken.
    ModuleNotFoundError
        If scikit-learn ("digits") or Pillow (images) is missing.

    Notes
    -----
    Nothing is downloaded or unpickled, and everything is held in memory: four bytes a number.
    Bytes are divided by 255; other numbers outside [0, 1] are mapped there by one affine function
    for all coordinates, which `Dataset.low` and `Dataset.high` keep.
    """
    spec = os.fspath(source)
    seed = check_count("seed", seed, 0, math.inf)
    if spec in TOYS:
        _only_for_images(size, spec)
        return load_toy(spec, check_count("n", N_TOY if n is None else n), seed)
    if n is not None:
        raise ValueError(f"n is for toys only, got it with {spec}")
    if size is not None:
        size = check_count("size", size)
    if spec == "digits":
        _only_for_images(size, spec)
        return _digits(split, seed)
    path, key = split_key(spec)
    with naming(path):
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no such file or folder, and not one of digits, {', '.join(TOYS)}"
            )
        if path.is_dir():
            return _load_folder(path, split, size, seed)
        _only_for_images(size, path)
        return _load_file(path, key, split, seed)


def _digits(split: float, seed: int) -> Dataset:
    need("sklearn", "digits", "models")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return from_arrays(
        images.reshape(-1, 8, 8), labels, name="digits", split=split, seed=seed, low_high=(0, 16)
    )


def _load_file(path: Path, key: str | None, split: float, seed: int) -> Dataset:
    with opened(path) as stream:
        start = stream.read(8)
    if start.startswith(ZIP):
        return load_npz(path, key, path.stem, split, seed)
    if start.startswith(NPY):
        return load_npy(path, path.stem, split, seed)
    content = f"a file that begins with {start.hex(' ')}" if start else "an empty file"
    raise ValueError(f"{path}: expected a .npy or .npz file, got {content}")


def _load_folder(folder: Path, split: float, size: int | None, seed: int) -> Dataset:
    name = folder.resolve().name
    if is_cifar_folder(folder):
        _only_for_images(size, folder)
        return load_cifar_folder(folder, name)
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    images = image_files(folder)
    others = [path for path in entries if path.is_file() and path.suffix.lower() not in SUFFIXES]
    if not images and any(head(path, 4) in IDX for path in others):
        _only_for_images(size, folder)
        return load_idx_folder(folder, name)
    if images or any(path.is_dir() for path in entries):
        return load_image_folder(folder, name, size, split, seed)
    content = ", ".join(path.name for path in entries[:5]) or "an empty folder"
    raise ValueError(f"{folder}: {EXPECTED_FOLDER}; got {content}")


def _only_for_images(size: int | None, source: object) -> None:
    if size is not None:
        raise ValueError(f"size is for folders of images only, got it with {source}")
