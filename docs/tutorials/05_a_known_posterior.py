# %% [markdown]
# # A posterior that is known
#
# Something is observed in part and with noise, and a network samples what it may have been: the
# *posterior*. It learns from examples, and from how they are observed. Here we know what it ought
# to find, and check it.
#
# The unknown is a point in the plane from one of three clouds. Only its first coordinate is seen,
# with noise of standard deviation 0.3.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import energyflow as ef
from energyflow import inverse, metrics

CENTRES = np.array([[-1.0, 0.8], [-0.9, -0.8], [1.0, 0.0]])
SPREAD, NOISE = 0.25, 0.3


def prior(n, rng):
    points = CENTRES[rng.integers(3, size=n)] + SPREAD * rng.normal(size=(n, 2))
    return points.astype(np.float32)


torch.set_num_threads(1)  # enough for networks as small as these
rng = np.random.default_rng(0)
problem = inverse.Linear([[1.0, 0.0]]) + inverse.Gaussian(NOISE)
flow = inverse.PosteriorFlow(
    problem, preset="toy", n_particles=10_000, n_steps=600
)
flow.fit(prior(10_000, rng), rng=0, progress=False)

# %% [markdown]
# That was all the training. For any observation, samples now cost one pass through six small
# networks. In each panel the line is what was seen; grey points are the prior, blue ones are
# samples of what it may have been. At the left two clouds remain, at the right only one.

# %% alt="Three panels with points of three clouds. In each a vertical line marks what was seen, and samples lie near the line: in two clouds for the first two panels, in a third cloud for the last."
seen = (-1.3, -0.7, 0.9)
posteriors = {y: flow.sample(np.array([y]), 2000, rng=1) for y in seen}

background = prior(1500, rng)
panels = plt.figure(figsize=(5.4, 2.3)).subplots(1, 3, sharex=True, sharey=True)
for axes, (y, posterior) in zip(panels, posteriors.items(), strict=True):
    axes.scatter(*background.T, s=2, color="C5", alpha=0.4, linewidths=0)
    axes.scatter(*posterior.samples[:500].T, s=3, color="C0", linewidths=0)
    axes.axvline(y, color="C1")
    axes.set(title=f"seen {y}", aspect="equal")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## What it should be
#
# For one normal cloud with centre $\mu$ and variance $s^2$, and noise of variance $\sigma^2$, the
# posterior given $y$ is normal again. Its second coordinate stays as it was; the first one has
#
# $$
# \text{mean} \quad \mu_1 + \frac{s^2}{s^2 + \sigma^2} (y - \mu_1), \qquad
# \text{variance} \quad \frac{s^2 \sigma^2}{s^2 + \sigma^2} .
# $$
#
# With three clouds, each counts as much as it explains the observation: in proportion to
# $\exp(-(y - \mu_1)^2 / (2 s^2 + 2 \sigma^2))$.


# %%
def exact(y, n, rng):
    variance = SPREAD**2 + NOISE**2
    weights = np.exp(-((y - CENTRES[:, 0]) ** 2) / (2 * variance))
    cloud = rng.choice(3, size=n, p=weights / weights.sum())
    gain = SPREAD**2 / variance
    points = CENTRES[cloud] + SPREAD * rng.normal(size=(n, 2))
    points[:, 0] = CENTRES[cloud, 0] + gain * (y - CENTRES[cloud, 0])
    points[:, 0] += np.sqrt(gain) * NOISE * rng.normal(size=n)
    return points


# %% [markdown]
# The coordinate that was *not* seen, by the network (bars) and in closed form (line):

# %% alt="Three histograms of the second coordinate with the exact densities as lines. Bars follow the lines: two peaks for the first two observations, one peak for the last."
grid = np.linspace(-2, 2, 400)
panels = plt.figure(figsize=(5.4, 2.3)).subplots(1, 3, sharey=True)
for axes, (y, posterior) in zip(panels, posteriors.items(), strict=True):
    weights = np.exp(-((y - CENTRES[:, 0]) ** 2) / (2 * (SPREAD**2 + NOISE**2)))
    bumps = np.exp(-((grid[:, None] - CENTRES[:, 1]) ** 2) / (2 * SPREAD**2))
    density = bumps @ weights / weights.sum() / np.sqrt(2 * np.pi * SPREAD**2)
    axes.hist(
        posterior.samples[:, 1], bins=40, range=(-2, 2), density=True, alpha=0.6
    )
    axes.plot(grid, density, color="C1")
    axes.set(title=f"seen {y}", yticks=[])
    axes.spines["left"].set_visible(False)
plt.show()

# %% [markdown]
# ## How near it is
#
# Over twenty observations that do come up, the energy distance of samples to exact ones, beside
# that of other exact samples (the floor) and that of someone who did not look (the prior). The U
# estimator has no bias, so the floor is zero but for chance.

# %%
distances = {"network": [], "floor": [], "prior": []}
for y in problem.simulate(prior(20, rng), rng):
    truth = exact(y, 2000, rng)
    rivals = {
        "network": flow.sample(y, 2000, rng=2).samples.astype(float),
        "floor": exact(y, 2000, rng),
        "prior": prior(2000, rng).astype(float),
    }
    for name, points in rivals.items():
        distance = ef.energy_distance(points, truth, estimator="U")
        distances[name].append(float(distance))
for name, values in distances.items():
    print(f"{name:8} {np.mean(values):8.4f}")
assert np.mean(distances["network"]) < np.mean(distances["prior"]) / 50
assert abs(np.mean(distances["floor"])) < 0.001

# %% [markdown]
# ## Does it know what it does not know?
#
# Where no posterior is known, there is still a check that needs true points alone: an interval that
# holds 90 % of the samples must hold the truth in 90 % of the cases, and so on for every level.

# %%
truths = prior(300, rng)
observations = problem.simulate(truths, rng)
rivals = {
    "network": [flow.sample(y, 100, rng).samples for y in observations],
    "exact": [exact(y, 100, rng) for y in observations],
}
levels = (0.1, 0.3, 0.5, 0.7, 0.9)
coverage = {
    name: metrics.sbc(np.stack(v), truths).coverage(levels).mean(axis=1)
    for name, v in rivals.items()
}
for k, level in enumerate(levels):
    network, exactly = (coverage[name][k] for name in rivals)
    print(
        f"{level:.0%}: samples of the network {network:.0%}, exact ones {exactly:.0%}"
    )
assert np.abs(coverage["exact"] - levels).mean() < 0.025
assert np.abs(coverage["network"] - levels).mean() < 0.05

# %% [markdown]
# A few samples get lost between the clouds, as the panels above show. More particles and longer
# training (`n_particles=`, `n_steps=`) bring them home.
#
# ## Try next
#
# - `problem = inverse.Linear(...) + inverse.Poisson(...)`: other noise, other operators.
# - `posterior.mean`, `.std`, `.interval(0.9)` and `.residuals()` sum up what the samples say.
# - [Tomography](06_tomography.md): the same, where the unknown is an image.
# - `ef.ConditionalFlow` moves particles alone, without a network.
# - Why a small distance of the joint distribution is not enough:
#   [joint and posterior](../explanation/joint-and-posterior.md).
