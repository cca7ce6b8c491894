# %% [markdown]
# # Digits from noise
#
# A thousand pictures of noise become a thousand handwritten digits. There is no network and no
# training: each picture is a particle in 64 dimensions, one for each pixel, and they flow as points
# of the plane do in [a first flow](01_first_flow.md). It takes about ten seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

import energyflow as ef
from energyflow import datasets, metrics

digits = datasets.load("digits", split=0.5)  # 8 x 8 pixels, numbers in [0, 1]
target = digits.train.reshape(-1, 64)
held_out = digits.test.reshape(-1, 64)  # as many, which the flow does not see
noise = np.random.default_rng(0).uniform(size=(1000, 64)).astype(np.float32)

snapshots = {}


def keep(step, particles, distance):
    if step in (0, 10, 20, 40, 80, 160, 400):
        snapshots[step] = particles


flow = ef.ParticleFlow(target, rng=0)
result = flow.run(noise, 400, callback=keep, progress=False)
print(result)

# %% [markdown]
# A row shows the same ten particles after some steps. They find their digit within some dozens of
# steps, and the rest of the time goes into sharp edges and an even background.


# %% alt="Seven rows of ten small images. The first row is noise; from row to row strokes appear, and the last one shows ten handwritten digits."
def draw(rows):
    """A row of ten images for each name."""
    panels = plt.figure(figsize=(5.4, 0.63 * len(rows))).subplots(len(rows))
    for axes, (name, points) in zip(panels, rows.items(), strict=True):
        images = np.pad(points[:10].reshape(10, 8, 8), ((0, 0), (1, 1), (1, 1)))
        axes.imshow(np.hstack(images), cmap="gray", vmin=0, vmax=1)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    plt.show()


draw(snapshots)

# %% [markdown]
# ## As near as real digits
#
# The digits that we held out are real, and have some distance to those of the target too. A flow
# that went on to zero would only have copied its target, so the distance to the *held-out* digits
# is the one to look at.

# %% alt="Energy distance over four hundred steps on a logarithmic scale. It falls from 1.9 to below the dashed line of real digits, which lies at 0.0055."
floor = float(ef.energy_distance(target, held_out))
figure, axes = plt.subplots()
axes.plot(result.history_step, result.history_distance, label="particles")
axes.axhline(floor, color="C1", linestyle="--", label="other real digits")
axes.set(yscale="log", xlabel="step", ylabel="energy distance to the target")
axes.legend()
plt.show()

# %%
before = float(ef.energy_distance(noise, held_out))
after = float(ef.energy_distance(result.particles, held_out))
print("energy distance to the held-out digits:")
print(f"noise {before:.4f}, particles {after:.4f}, real digits {floor:.4f}")
assert after < 1.1 * floor < before / 200

# %% [markdown]
# `print(result)` has told that the flow arrived. Every step looks along its own 128 directions, so
# the particles jitter a little; from step 200 on steps become shorter and let them come to rest.
# The flow [chooses all that](../explanation/flows.md#what-a-flow-chooses-by-itself) from the
# target and from the noise of its slices.
#
# ## Are they copies?
#
# Below each of ten particles stands the digit of the target that is nearest to it. They are
# relatives, not copies: for comparison, we do the same with held-out digits, and look at the
# median distance to the nearest one.

# %% alt="Two rows of ten digits. Each digit of the second row resembles the particle above it, but has other strokes."
near = metrics.nearest_neighbours(result.particles, target, held_out)
draw({"particle": result.particles, "nearest": target[near.nearest]})

# %%
print(f"particles {near.median:.2f}, real digits {near.held_out_median:.2f}")
assert near.median > near.held_out_median
assert near.copies == 0

# %% [markdown]
# This cannot go on for ever: after 1000 steps the particles are nearer to the target than real
# digits. As many as there are points in the target, moved until the distance is zero, *are* it. To
# make more digits than you have, let a
# [network learn the flow](04_a_network_that_learns_the_flow.md).
#
# ## Try next
#
# - `energyflow demo` does this from the command line, with a picture and a table.
# - Set `momentum=0`, or `n_projections=8`, and compare the last distances.
# - `flow.run(noise, 5000, until="converged")` ends when the distance gains no more.
# - `slicing=ef.PatchSlicing((1, 8, 8), size=5)` looks at windows of the images.
# - Your own images: `datasets.load("folder")` reads PNG, JPEG, IDX (MNIST) and CIFAR-10 files.
