# %% [markdown]
# # A deep MMD flow
#
# Particles flow from noise to data under a distance that a network has learned, without a generator
# and without a game of two networks. `DMMD` noises the data more and more, and learns features in
# which noised and clean data differ as much as possible while the way from one to the other stays
# flat. To sample, particles go down that way, from much noise to little.
#
# The data are the 8 × 8 digits. Learning the features takes a quarter of a minute.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import energyflow as ef
from energyflow import datasets, metrics
from energyflow.models import DMMD

torch.set_num_threads(1)  # enough for networks as small as these
digits = datasets.load("digits")
model = DMMD(n_steps=600, n_rounds=1)
model.fit(digits.train, progress=False)

samples = {
    "particles": model.sample(1000, rng=0),
    "independent": model.sample(1000, rng=0, method="independent"),
    "then together": model.sample(
        1000, rng=0, method="independent", denoise=20
    ),
}

# %% [markdown]
# There are two ways to go. As *particles*, they see each other and the data, and together become
# like the data. *Independently*, each follows the difference between noised and clean data, which
# was known before, and no sample depends on another. Those end too faint, and twenty steps
# *together* make up for it.

# %% alt="Three rows of twelve sampled digits. Those of particles and of independent samples with steps together look like handwritten digits; independent ones alone are fainter and more alike."
panels = plt.figure(figsize=(5.6, 1.9)).subplots(3)
for axes, (name, images) in zip(panels, samples.items(), strict=True):
    tiles = np.pad(images[:12, 0], ((0, 0), (1, 1), (1, 1)))
    axes.imshow(np.hstack(tiles), cmap="gray", vmin=0, vmax=1)
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# ## How near are they?
#
# The energy distance to held-out digits, over that of real digits in the samples' place. For
# comparison: noise with the right mean and spread of each pixel, which count for much in this
# distance, and a [flow of the energy distance](03_digits_from_noise.md) from that noise, which
# learns nothing at all.

# %%
pixels = digits.train.reshape(-1, 64)
rng = np.random.default_rng(0)
noise = rng.normal(pixels.mean(axis=0), pixels.std(axis=0), size=(1000, 64))
noise = noise.astype(np.float32)
plain = ef.ParticleFlow(pixels, rng=0)
flowed = plain.run(noise, 120, progress=False).particles

rivals = {
    **samples,
    "noise": noise.reshape(-1, 1, 8, 8),
    "energy flow": flowed.reshape(-1, 1, 8, 8),
}
labels = np.concatenate([digits.test_labels, digits.train_labels])
ratio = {}
for name, images in rivals.items():
    report = metrics.energy_distance_report(
        images, digits.test, real=digits.train, strata=labels
    )
    ratio[name] = report.ratio
    print(f"{name:14} {report.ratio:6.2f} times the floor")

assert ratio["particles"] < 1.6
assert ratio["then together"] < 1.6
assert ratio["independent"] > 5 * ratio["then together"]
assert ratio["energy flow"] < 1.2 * ratio["particles"]

# %% [markdown]
# Particles come near real digits, and independent samples do so after their steps together. But on
# images as small as these, distances between pixels say all there is to say, and the plain flow is
# as good for less work. Learned features are for data where they do not.
#
# ## New, or copied?
#
# The distance of a sample to the nearest digit of the training set, and that of held-out digits; a
# copy is three times nearer to its nearest one than to the second.

# %%
near = metrics.nearest_neighbours(
    samples["particles"], digits.train, digits.test
)
print(f"samples  {near.median:.2f}, {near.copies:.1%} copies")
print(f"real     {near.held_out_median:.2f}, {near.held_out_copies:.1%} copies")
assert near.median > 0.9 * near.held_out_median
assert near.copies < 0.01

# %% [markdown]
# ## A longer run
#
# `python -m benchmarks dmmd digits` trains for 1000 steps and compares more: flows along a Gaussian
# kernel, the linear kernel of the paper, and KALE in place of the MMD.
#
# <!-- table: dmmd.md, digits -->
#
# What is learned, and where this differs from the paper, is [explained](../explanation/dmmd.md).
#
# ## Try next
#
# - `model.fit(digits.train, digits.train_labels)`: each class becomes a flow of its own, and
#   `model.sample(100, condition=7)` gives sevens.
# - `DMMD(kernel="linear")`, and `sample(..., objective="kale")`.
# - `ef.MMDFlow` and `ef.KALEFlow` move particles along a kernel that is given.
