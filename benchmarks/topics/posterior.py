"""How good samples of posteriors are: known ones, and images.

Draws posterior_<experiment>.png.
"""

from ..runner import Topic
from . import (
    _posterior_images,
    _posterior_known,
    _posterior_material,
    _posterior_mnist,
    _posterior_sum,
    _posterior_tomography,
)

OPTIONS = {
    "material": "folder with the slices train/ and test/",
    "mnist": "folder of MNIST's files",
    "seconds": "of training, on the CPU",
}
TOPIC = Topic("posterior", "Posteriors", __doc__, options=OPTIONS)
TOPIC.update(
    _posterior_known.EXPERIMENTS
    | _posterior_sum.EXPERIMENTS
    | _posterior_images.EXPERIMENTS
    | _posterior_material.EXPERIMENTS
    | _posterior_mnist.EXPERIMENTS
    | _posterior_tomography.EXPERIMENTS
)
