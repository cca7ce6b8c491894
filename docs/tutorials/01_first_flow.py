# %% [markdown]
# # A first flow
#
# Take a thousand points of noise, and a sample that they should look like. The *energy distance*
# says how far apart the two are, and a *flow* moves the points down its slope until they are near.

# %%
import matplotlib.pyplot as plt
import numpy as np

import energyflow as ef
from energyflow import datasets

rng = np.random.default_rng(0)
moons = datasets.load("moons", n=2000)
target, fresh = moons.train, moons.test  # two samples, (2000, 2) each
noise = rng.normal(0.5, 0.1, size=(1000, 2)).astype(np.float32)

snapshots = {}


def keep(step, particles, distance):
    if step in (0, 1, 2, 4, 8, 100):
        snapshots[step] = particles


flow = ef.ParticleFlow(target, rng=0)
result = flow.run(noise, 100, record_every=1, callback=keep, progress=False)
print(result)

# %% [markdown]
# The particles (blue) start as a round cloud in the middle. They are drawn to the target (orange)
# and push each other away: the cloud stretches, splits, and covers both moons evenly. The few
# in between arrive last: the nearer the two samples are, the weaker the pull.

# %% alt="Six snapshots of a flow: a round cloud of points stretches, splits in two and covers two moons."
panels = plt.figure(figsize=(5.4, 3.8)).subplots(2, 3, sharex=True, sharey=True)
for axes, (step, particles) in zip(panels.flat, snapshots.items(), strict=True):
    axes.scatter(*target.T, s=1, color="C1", alpha=0.6, linewidths=0)
    axes.scatter(*particles.T, s=4, color="C0", linewidths=0)
    axes.set(title=f"step {step}", aspect="equal")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## How near is near?
#
# The energy distance of points $x_1, \dots, x_N$ and $y_1, \dots, y_M$ is
#
# $$
# E(x, y) = \frac{2}{NM} \sum_{i,j} |x_i - y_j| - \frac{1}{N^2} \sum_{i,k} |x_i - x_k|
#   - \frac{1}{M^2} \sum_{j,l} |y_j - y_l| .
# $$
#
# Of two single points it is twice their distance. It is zero only where both samples are the same,
# so a thousand *new* points of the moons have a distance as well: the floor, below which there is
# little to learn from samples of this size. All are measured against `fresh`, which the flow has
# not seen.

# %%
one, other = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
assert np.isclose(ef.energy_distance(one, other), 2 * 5)

before = float(ef.energy_distance(noise, fresh))
after = float(ef.energy_distance(result.particles, fresh))
floor = float(ef.energy_distance(target[:1000], fresh))
print(f"noise {before:.5f}   particles {after:.5f}   real points {floor:.5f}")
assert after < floor < before / 50

# %% [markdown]
# The particles are nearer than real points: those have gaps and clumps by chance, while particles
# keep their distance from each other.
#
# ## What moves them
#
# A sum over all pairs is slow. energyflow looks at the points along many directions instead: on a
# line they need only be sorted, and the mean over directions is the distance again, up to a known
# constant. Each step of the flow is
#
# $$
# v \leftarrow N \, \nabla F(x) + m v, \qquad x \leftarrow x - \tau v, \qquad F = E / 2,
# $$
#
# along new directions, with step size $\tau$ and momentum $m$. At each particle $N \nabla F$ is
# the difference of two mean unit vectors: from the target, and from the other particles. So it is
# never longer than 2. Here is $-N \nabla F$ at the start: the first step is $\tau$ times as long.

# %% alt="Arrows at the points of a round cloud. They point outwards and are longest near its rim."
arrows = -len(noise) / 2 * ef.sliced_energy_gradient(noise, target, rng=0)
exact = -len(noise) / 2 * ef.energy_gradient(noise, target)
assert np.linalg.norm(exact, axis=1).max() <= 2
assert np.abs(arrows - exact).max() < 0.001

figure, axes = plt.subplots(figsize=(4.6, 3.4))
axes.scatter(*target.T, s=2, color="C1", alpha=0.7, linewidths=0)
axes.quiver(*noise[:150].T, *arrows[:150].T, color="C0", width=0.005)
axes.set(aspect="equal")
axes.set_axis_off()
plt.show()

# %% [markdown]
# ## Step size and momentum
#
# If you give neither, the flow measures how strongly the target pulls back what is displaced, and
# [chooses both](../explanation/flows.md#what-a-flow-chooses-by-itself); a step size has the units
# of your data. Much longer steps overshoot; much shorter ones take long, unless momentum adds them
# up. Each line below is a flow from the same noise; a `FlowWarning` tells that the first one rose.

# %% alt="Energy distance to the target over 100 steps, on a logarithmic scale. With steps four times as long it stays high. Short steps fall slowly. Short steps with momentum, and the usual ones, fall furthest."
spread = float(np.sqrt(np.sum(target.var(axis=0))))
settings = {
    "too long": {"step_size": 4 * spread},
    "spread / 10": {"step_size": spread / 10},
    "spread / 10, momentum 0.9": {"step_size": spread / 10, "momentum": 0.9},
    "as it comes": {},
}
reached = {}
figure, axes = plt.subplots()
for name, how in settings.items():
    trial = ef.ParticleFlow(target, rng=0, **how)
    run = trial.run(noise, 100, record_every=1, progress=False)
    axes.plot(run.history_step, run.history_distance, label=name)
    reached[name] = float(ef.energy_distance(run.particles, target))
axes.set(yscale="log", xlabel="step", ylabel="energy distance to the target")
axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
plt.show()

# %%
for name, distance in reached.items():
    print(f"{distance:.1e}  {name}")
assert reached["too long"] > before
assert reached["as it comes"] < reached["spread / 10"] / 5

# %% [markdown]
# ## Stop, save, go on
#
# The directions of a step depend on the seed and the step alone. So a flow that was saved continues
# as if it had never been interrupted, to the last bit.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

with TemporaryDirectory() as folder:
    flow.run(noise, 60, progress=False).save(Path(folder, "flow.npz"))
    half = ef.FlowResult.load(Path(folder, "flow.npz"))
again = flow.run(half, 40, progress=False)
assert np.array_equal(again.particles, result.particles)

# %% [markdown]
# ## Try next
#
# - Another target: `"eight-gaussians"`, `"checkerboard"` or `"rings"`, or points of your own, in
#   any dimension.
# - `target_weights=` weighs the points of the target; `exponent=` takes $|x - y|^r$ in place of
#   $|x - y|$.
# - [Any array library](02_any_array_library.md): the same on torch or JAX.
# - [Digits from noise](03_digits_from_noise.md): the same in 64 dimensions.
