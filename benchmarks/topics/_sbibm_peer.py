"""NPE and FMPE of the package sbi on the same pairs, run by an interpreter that has it.

Reads the pairs, the observations and the law of the prior from a file of NumPy, and writes samples
and the CPU seconds of training to another: `python _sbibm_peer.py METHOD SEED N_SAMPLES IN OUT`.
"""

import sys
import time
from typing import Any

import numpy as np
import torch
from sbi import inference
from sbi.utils import BoxUniform
from torch import distributions


def main() -> None:
    method, seed, n_samples, given, out = sys.argv[1:]
    torch.set_num_threads(1)
    torch.manual_seed(int(seed))
    with np.load(given) as file:
        arrays = {name: file[name] for name in file.files}
    theta, x, observed, first, second = (
        torch.from_numpy(arrays[name]).float()
        for name in ("theta", "x", "observed", "first", "second")
    )
    prior = _prior(str(arrays["kind"]), first, second)
    estimator = getattr(inference, method)(prior=prior, show_progress_bars=False)
    begun = time.process_time()
    estimator.append_simulations(theta, x).train()
    seconds = time.process_time() - begun
    posterior = estimator.build_posterior()
    begun = time.process_time()
    samples = [
        posterior.sample((int(n_samples),), x=row, show_progress_bars=False) for row in observed
    ]
    sampling = time.process_time() - begun
    np.savez(out, samples=torch.stack(samples).numpy(), seconds=seconds, sampling=sampling)


def _prior(kind: str, first: torch.Tensor, second: torch.Tensor) -> Any:
    if kind == "uniform":
        return BoxUniform(first, second)
    if kind == "normal":
        return distributions.MultivariateNormal(first, second)
    return distributions.Independent(distributions.LogNormal(first, second), 1)


if __name__ == "__main__":
    main()
