"""Data for generative models: bundled digits, toys, and the files that you have.

>>> from energyflow import datasets
>>> digits = datasets.load("digits")
>>> digits.train.shape, digits.test.shape, digits.n_classes
((1437, 1, 8, 8), (360, 1, 8, 8), 10)

Nothing is downloaded and nothing is unpickled.
"""

from ._dataset import Dataset as Dataset
from ._load import load as load
from ._split import from_arrays as from_arrays
from ._toys import TOYS as TOYS

__all__ = ["TOYS", "Dataset", "from_arrays", "load"]
