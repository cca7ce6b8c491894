"""How good samples are: each number beside what real data reach.

Classifiers and nearest neighbours need scikit-learn, networks for images torch, `ssim`
scikit-image.

>>> from energyflow import datasets, metrics
>>> moons = datasets.load("moons", n=500)
>>> report = metrics.evaluate(moons.test, moons)
>>> print(report.to_markdown())  # doctest: +SKIP
"""

from ._classifier import ClassifierReport as ClassifierReport
from ._classifier import c2st as c2st
from ._classifier import classifier_report as classifier_report
from ._classifier import train_classifier as train_classifier
from ._energy import EnergyReport as EnergyReport
from ._energy import energy_distance_report as energy_distance_report
from ._evaluate import evaluate as evaluate
from ._fid import fid as fid
from ._frechet import frechet_distance as frechet_distance
from ._kernel_distance import kernel_distance as kernel_distance
from ._neighbours import NeighbourReport as NeighbourReport
from ._neighbours import nearest_neighbours as nearest_neighbours
from ._posteriors.calibration import Calibration as Calibration
from ._posteriors.calibration import calibration as calibration
from ._posteriors.pair_plot import pair_plot as pair_plot
from ._posteriors.predictive import PredictiveCheck as PredictiveCheck
from ._posteriors.predictive import posterior_predictive as posterior_predictive
from ._posteriors.sbc import SBC as SBC
from ._posteriors.sbc import sbc as sbc
from ._posteriors.scores import posterior_table as posterior_table
from ._posteriors.scores import psnr as psnr
from ._posteriors.scores import ssim as ssim
from ._posteriors.tarp import TARP as TARP
from ._posteriors.tarp import tarp as tarp
from ._precision import precision_recall as precision_recall
from ._report import COLUMNS as COLUMNS
from ._report import Report as Report
from ._report import Row as Row

__all__ = [
    "COLUMNS", "SBC", "TARP", "Calibration", "ClassifierReport", "EnergyReport", "NeighbourReport",
    "PredictiveCheck", "Report", "Row", "c2st", "calibration", "classifier_report",
    "energy_distance_report", "evaluate", "fid", "frechet_distance", "kernel_distance",
    "nearest_neighbours", "pair_plot", "posterior_predictive", "posterior_table",
    "precision_recall", "psnr", "sbc", "ssim", "tarp", "train_classifier",
]  # fmt: skip
