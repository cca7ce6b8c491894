# %% [markdown]
# # How fast it is
#
# Summing over all pairs costs $O(NM)$. A slice costs a sort, $O((N + M) \log (N + M))$. This page
# measures what that means here, on the machine that built it, and shows what was measured with
# more care before.
#
# The picture: time of one distance over the number of points, for all pairs and for 64 slices.
# Both axes are logarithmic: all pairs tend to slope 2, slices stay near slope 1.

# %% alt="Time over the number of points with logarithmic axes. The line of all pairs climbs nearly twice as steeply as the line of slices, and lies above it from a few thousand points on."
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np

import energyflow as ef

rng = np.random.default_rng(0)


def seconds(call, turns=3):
    """The shortest of some turns, after one that compiles and warms up."""
    call()
    taken = []
    for _ in range(turns):
        started = perf_counter()
        call()
        taken.append(perf_counter() - started)
    return min(taken)


def cloud(n, d=10):
    return rng.normal(size=(n, d)).astype(np.float32)


def sliced(n):
    x, y = cloud(n), cloud(n)
    return seconds(
        lambda: ef.sliced_energy_distance(x, y, None, None, 64, rng=0)
    )


def exact(n):
    x, y = cloud(n), cloud(n)
    return seconds(lambda: ef.energy_distance(x, y), turns=1)


few, many = [1000, 2000, 4000, 8000], [1000, 4000, 16_000, 64_000]
of_pairs, of_slices = [exact(n) for n in few], [sliced(n) for n in many]

axes = plt.figure(figsize=(5.4, 2.8)).subplots()
axes.loglog(few, of_pairs, "o-", color="C1", label="all pairs")
axes.loglog(many, of_slices, "o-", color="C0", label="64 slices")
axes.set(xlabel="points on each side", ylabel="seconds")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# The slope of each line is how its time grows: the power of $N$.


# %%
def growth(sizes, times):
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


print(f"all pairs grow as N^{growth(few, of_pairs):.2f}")
print(f"slices grow as N^{growth(many, of_slices):.2f}")

# %% [markdown]
# ## What speed costs
#
# Slices are a sample of directions, so the distance along them has an error that falls with their
# number. Which error that is depends on how directions are drawn; `slicing="auto"` takes the best
# family known for the dimension. Here are eight draws of each:

# %%
x, y = cloud(2000), cloud(2000) + np.float32(0.5)
truth = float(ef.energy_distance(x, y))


def error(n_projections, slicing):
    found = [
        float(
            ef.sliced_energy_distance(
                x, y, None, None, n_projections, slicing=slicing, rng=seed
            )
        )
        for seed in range(8)
    ]
    return float(np.sqrt(np.mean((np.array(found) / truth - 1) ** 2)))


for n_projections in (50, 200, 1000):
    independent, best = (error(n_projections, s) for s in ("iid", "auto"))
    print(
        f"{n_projections:5} slices: independent {independent:.2%}, auto {best:.2%}"
    )
    assert best < independent

# %% [markdown]
# ## The step of a flow
#
# A flow needs the gradient, and fused kernels give it from the same sort. The way it is usually
# written in torch sorts three times: the two samples together, the order itself to invert it, and
# one sample alone. Both below compute the same numbers along the same directions.

# %%
import torch


def usual(x, y, directions):
    """The gradient of E by sorting, inverting the order by a sort, and sorting x alone."""
    (n, d), m = x.shape, len(y)
    xs, ys = directions @ x.T, directions @ y.T
    order = torch.cat([xs, ys], 1).argsort(1)
    below = torch.cumsum((order >= n).float(), 1)
    place = order.argsort(1)[:, :n]
    rank_y = torch.gather(below, 1, place)
    rank_x = xs.argsort(1).argsort(1).float()
    slopes = 2 * (2 * rank_y - m) / (n * m) - 2 * (2 * rank_x - n + 1) / n**2
    scale = float(ef.slicing_constant(d)) / len(directions)
    return slopes.T @ directions * scale


x, y = cloud(5000, 10), cloud(5000, 10)
directions = ef.sample_projections(256, 10, rng=0).astype(np.float32)
tensors = [torch.from_numpy(v) for v in (x, y, directions)]


def ours():
    return ef.sliced_energy_gradient(x, y, projections=directions)


difference = np.linalg.norm(usual(*tensors).numpy() - ours())
assert difference < 1e-3 * np.linalg.norm(ours())
ratio = seconds(lambda: usual(*tensors)) / seconds(ours)
print(f"energyflow is {ratio:.1f} times faster than three sorts in torch")

# %% [markdown]
# ## Measured with care
#
# `make bench` times one gradient beside the algorithm of the papers, POT, and the *floor*: the
# least that any method of this kind does, which is to project, to sort and to project back.
# Results are checked before they are timed, and methods take turns in one process.
#
# For 5000 points in the plane and 256 slices on two CPU cores:
#
# <!-- table: cpu.md, (N, d, P) = (5000, 2, 256) -->
#
# For 20,000 images of 28 x 28 pixels and 100 slices:
#
# <!-- table: cpu.md, (N, d, P) = (20000, 784, 100) -->
#
# All shapes, with the targets that were met and those that were not, are in
# [the benchmarks](../benchmarks/cpu.md); what they measure is in
# [how it is measured](../benchmarks/index.md).
#
# ## On a GPU
#
# Nothing changes but the array: a torch tensor or a CuPy array on a GPU is computed there, by
# fused Triton kernels. `make gpu` first checks every path against the reference, then times it,
# and writes a table named after the device. No such table is among the results yet: this page
# makes no claim about speed on GPUs.

# %%
if torch.cuda.is_available():
    on_gpu = [v.cuda() for v in tensors]
    found = ef.sliced_energy_gradient(*on_gpu[:2], projections=on_gpu[2])
    difference = torch.linalg.norm(found.cpu() - torch.from_numpy(ours()))
    assert difference < 1e-3 * np.linalg.norm(ours())
    print("the GPU gives the same gradient")
else:
    print("no GPU here")

# %% [markdown]
# ## Try next
#
# - `ef.show_backends()` says which implementations there are, and why one is not used.
# - `slicing="hadamard"` needs no matrix of directions, and is the fastest from a few hundred
#   dimensions on.
# - [Choose slices](../howto/slices.md) has the errors of all families.
