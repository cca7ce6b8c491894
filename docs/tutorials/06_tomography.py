# %% [markdown]
# # Tomography with a missing wedge
#
# A scanner sees a body along lines, but a third of the angles is out of reach. Many bodies would
# look the same from there. We learn to sample them, and ask the samples what is certain.
#
# The bodies are made of ellipses, 24 × 24 pixels; the scanner sees 28 angles over 120 degrees, with
# a little noise. Everything runs in half a minute; the results of a longer run are at the end.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from energyflow import inverse, metrics
from energyflow.models import MLP

torch.set_num_threads(1)  # enough for networks as small as these
SIDE, MISSING = 24, 60
place = (np.arange(SIDE) - SIDE // 2) / (SIDE // 2)
X, Y = np.meshgrid(place, place)


def ellipse(centre, axes, turn):
    along = np.cos(turn) * (X - centre[0]) + np.sin(turn) * (Y - centre[1])
    across = np.cos(turn) * (Y - centre[1]) - np.sin(turn) * (X - centre[0])
    depth = 1 - np.hypot(along / axes[0], across / axes[1])
    return np.clip(0.5 + depth * min(axes) * SIDE / 4, 0, 1)


def any_ellipse(reach, smallest, largest, rng):
    centre = rng.uniform(-reach, reach, 2)
    return ellipse(
        centre, rng.uniform(smallest, largest, 2), rng.uniform(0, np.pi)
    )


def body(rng):
    outline = any_ellipse(0.1, 0.6, 0.85, rng)
    image = 0.4 * outline
    for _ in range(rng.integers(3, 7)):
        image += (
            rng.uniform(-0.3, 0.5) * outline * any_ellipse(0.45, 0.08, 0.3, rng)
        )
    return image.clip(0, 1) * (X**2 + Y**2 <= 1)


def bodies(n, seed):
    rng = np.random.default_rng(seed)
    return np.stack([body(rng) for _ in range(n)])[:, None].astype(np.float32)


problem = inverse.Radon(SIDE, 28, missing=MISSING) + inverse.Gaussian(0.005)
flow = inverse.PosteriorFlow(
    problem,
    guess="regression",  # what a linear map can know is not left to the networks
    components=0.99,  # and they learn principal components, not pixels
    start="normal",
    n_particles=1500,
    n_projections=128,
    n_blocks=2,
    block_cap=32,
    n_steps=150,
    architecture=MLP(width=256, depth=2),
)
flow.fit(bodies(1500, seed=0), rng=0, progress=False)

# %% [markdown]
# The upper row shows a body that the networks have not seen, what filtered back-projection makes of
# the observation, and the mean of a hundred samples. The lower row shows two of the samples, and the
# standard deviation of each pixel: bright where the samples disagree.

# %% alt="Six images. The first is a body of ellipses. In the back-projection it is smeared; the mean and two samples look like the body. The last image shows the standard deviation, largest inside the body."
truths = bodies(20, seed=1)
observations = problem.simulate(truths, rng=1)
posteriors = [flow.sample(seen, 100, rng=2) for seen in observations]

one = posteriors[0]
shown = {
    "truth": truths[0],
    "back-projection": problem.lift(observations[:1])[0],
    "mean": one.mean,
    "a sample": one.samples[0],
    "another": one.samples[1],
    "standard deviation": one.std,
}
panels = plt.figure(figsize=(5.4, 3.8)).subplots(2, 3)
for axes, (name, image) in zip(panels.flat, shown.items(), strict=True):
    scale = {} if name.startswith("standard") else {"vmin": 0, "vmax": 1}
    axes.imshow(image[0], cmap="gray", **scale)
    axes.set_title(name)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# In numbers, over twenty bodies: peak signal-to-noise ratios, and whether the samples explain what
# was seen. A residual is the distance of a sample's own projections from the observation, in units
# of the noise: 1 for the truth.

# %%
samples = np.stack([posterior.samples for posterior in posteriors])
lifted = problem.lift(observations)
quality = {
    "back-projection": metrics.psnr(lifted, truths).mean(),
    "mean of the samples": metrics.psnr(samples.mean(axis=1), truths).mean(),
}
residual = np.mean([posterior.residuals().mean() for posterior in posteriors])
for name, decibels in quality.items():
    print(f"{name:20} {decibels:.1f} dB")
print(f"residual of samples  {residual:.2f}")
assert quality["mean of the samples"] > quality["back-projection"] + 10
assert 0.9 < residual < 1.1

# %% [markdown]
# ## Uncertain where nobody looked
#
# A line that crosses the body at some angle sees the waves that run across it, and no others: two
# thirds of the directions of Fourier space are seen, and the rest is a wedge. If the samples are
# honest, they must disagree there. Below is how much the Fourier coefficients of samples vary, by
# direction; the wedge is shaded.

# %% alt="Spread of Fourier coefficients over their direction from 0 to 180 degrees. It is low up to 120 degrees and several times higher in the shaded range from there to 180."
spread = np.fft.fft2(samples[:, :, 0]).std(axis=1)  # (20, 24, 24)
power = (spread**2).mean(axis=0)
waves = np.fft.fftfreq(SIDE, 1 / SIDE)
rows, columns = np.meshgrid(waves, waves, indexing="ij")
angle = np.degrees(np.arctan2(-rows, columns)) % 180
length = np.hypot(rows, columns)
middle = (length >= 2) & (length <= SIDE / 4)

edges = np.linspace(0, 180, 13)
power_at, counts = (
    np.histogram(angle[middle], edges, weights=weight)[0]
    for weight in (power[middle], np.ones(middle.sum()))
)
figure, axes = plt.subplots(figsize=(5.4, 2.8))
axes.axvspan(180 - MISSING, 180, color="C5", alpha=0.25, linewidth=0)
axes.stairs(np.sqrt(power_at / counts), edges, linewidth=2)
axes.set(
    xlabel="direction in degrees", ylabel="spread of samples", ylim=(0, None)
)
plt.show()

# %%
wedge = middle & (angle > 180 - MISSING)
ratio = np.sqrt(power[wedge].mean() / power[middle & ~wedge].mean())
print(f"in the wedge samples vary {ratio:.1f} times as much")
assert ratio > 2

# %% [markdown]
# And they vary about as much as they should: the truth of each pixel lies in the interval that
# holds 90 % of its samples, in about 90 % of the cases.

# %%
low, high = np.quantile(samples, (0.05, 0.95), axis=1)
inside = (X**2 + Y**2 <= 1)[None, None]
coverage = np.mean(((low <= truths) & (truths <= high))[inside & (truths > 0)])
print(f"{coverage:.0%} of the pixels lie in their 90 % interval")
assert 0.85 < coverage < 0.97

# %% [markdown]
# ## A longer run
#
# Below are bodies of 24 x 24 pixels once more: twice as many, 450 steps a network, 40 bodies to test
# on. With a wedge of 40 degrees missing:
#
# <!-- table: posterior.md, tomography, limited angle -->
#
# and with all angles, but few photons:
#
# <!-- table: posterior.md, tomography, low dose -->
#
# The lift is the back-projection. A linear regression of bodies on observations is as good a guess as
# the mean of the samples, and both are far better; what the samples add is how far it may be off, which
# the CRPS counts and a single guess cannot tell.
#
# `python -m benchmarks posterior limited-angle low-dose` takes bodies of 64 x 64 pixels and a UNet
# that flow matching trains: [its table](../benchmarks/posterior.md) of the missing wedge.
#
# ## Try next
#
# - `inverse.Radon(SIDE, 36) + inverse.Poisson(4096, attenuation=10)`: all angles, few photons.
# - `MISSING = 90`, and look at the samples.
# - `inverse.BlurDownsample` for superresolution, `inverse.Mask` for inpainting, `inverse.Linear`
#   for a matrix of your own. On images of more than 16 pixels a side leave all settings out: flow
#   matching learns a UNet then. Ten minutes of one core complete digits of MNIST, and sharpen them
#   from every fourth pixel: [see them](../benchmarks/posterior.md), or run
#   `python -m benchmarks posterior mnist-inpainting mnist-superresolution --mnist FOLDER`.
