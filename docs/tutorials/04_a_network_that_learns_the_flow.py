# %% [markdown]
# # A network that learns the flow
#
# Particles that flow to a sample end up as that sample; networks that learn the flow make new points,
# as many as you like. They learn in blocks: particles flow a little, a network learns their way, new
# noise is sent through the networks so far and flows on from there.
#
# The data are four rings, and every point has a label: the ring it is on.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import torch

from energyflow import datasets, metrics
from energyflow.models import FlowGenerator

torch.set_num_threads(1)  # enough for networks as small as these
rings = datasets.load("rings", n=20_000)
labels = np.random.default_rng(0).choice(4, size=10_000, p=[0.1, 0.2, 0.3, 0.4])
folder = TemporaryDirectory()
run = Path(folder.name, "rings")

model = FlowGenerator(preset="toy", n_particles=10_000, n_steps=600)
how = {"resume": True, "progress": False}
after = {}
for steps in ("600 steps", "600 steps", None):  # stop, look, and go on
    model.fit(rings.train, rings.train_labels, out=run, **how, stop_after=steps)
    after[model.n_trained] = model.sample(len(labels), labels, rng=0)

# %% [markdown]
# Samples after one, two and all six blocks, coloured by the label that they were asked for:

# %% alt="Three pictures. After one block, points are scattered about four rings; after two most of them lie on the rings; after six nearly all do, each colour on its own ring."
panels = plt.figure(figsize=(5.6, 2.2)).subplots(1, 3, sharex=True, sharey=True)
for axes, (blocks, points) in zip(panels, after.items(), strict=True):
    colours = [f"C{label}" for label in labels[:3000]]
    axes.scatter(*points[:3000].T, s=2, c=colours, linewidths=0)
    axes.set_title(f"{blocks} block{'s' if blocks > 1 else ''}")
    axes.set(aspect="equal", xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
plt.show()
assert list(after) == [1, 2, 6]

# %% [markdown]
# ## How good are they?
#
# `metrics` puts every number beside what real data reach. A ratio of 1 would mean that samples are
# as near to held-out points as other real points are. The radius of a sample tells which ring it is
# on, and so whether it has the label that was asked for.

# %%
samples = after[6]
report = metrics.energy_distance_report(samples, rings.test, real=rings.train)
radius = np.linalg.norm(samples - 0.5, axis=1)
ring = np.rint(radius / 0.11) - 1  # radii are 0.11, 0.22, 0.33 and 0.44
right = np.mean(ring == labels)
first = metrics.energy_distance_report(after[1], rings.test, real=rings.train)
print("energy distance to held-out data, and times that of real data")
print(f"one block   {first.distance:.2e}  {first.ratio:.2f}")
print(f"six blocks  {report.distance:.2e}  {report.ratio:.2f}")
print(f"on the ring asked for: {right:.1%}")
assert report.ratio < 3 < first.ratio
assert right > 0.95

# %% [markdown]
# ## Keep it
#
# The folder is the model: settings, weights, log, pictures and checkpoints, and nothing in it is
# pickled. Above, `resume=True` went on with it; `load` brings the model back, and new points cost
# one pass through six small networks.

# %%
again = FlowGenerator.load(run)
third = again.sample(100_000, condition=2, rng=1)  # all on the third ring
print(sorted(path.name for path in run.iterdir()))
folder.cleanup()

assert np.array_equal(again.sample(len(labels), labels, rng=0), samples)
assert abs(np.median(np.linalg.norm(third - 0.5, axis=1)) - 0.33) < 0.005

# %% [markdown]
# ## Digits
#
# Images are learned in the same way. `energyflow train flow --data digits --out runs/digits
# --condition labels` takes ten minutes on two cores, so here is its committed result. Each row of
# the picture was asked for one digit:
#
# ![Ten rows of ten sampled digits, 8 by 8 pixels: zeros, ones, twos, and so on to
# nines](../benchmarks/generative_digits-labels.png){ width=360 }
#
# and here is how good such samples are:
#
# <!-- table: generative.md, digits, class by class -->
#
# `python -m benchmarks generative` makes the pictures and numbers of [flow
# generators](../benchmarks/generative.md) again.
#
# ## Try next
#
# - `patience=` stops training when samples get no nearer to the data that are held out.
# - `architecture=UNet(...)` for images, or a torch module of your own as the first argument.
# - [Flow matching](08_conditional_flow_matching.md) and [deep MMD flows](07_deep_mmd_flow.md) have
#   the same `fit`, `sample`, `save` and `load`.
