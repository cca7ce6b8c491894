# %% [markdown]
# # Conditional flow matching
#
# Flow matching learns to carry noise to data along straight paths. When noise and data are paired
# well, the paths cross less and a few steps are enough. When they are paired well *without looking
# at the condition*, what is learned for a condition is wrong. This page shows both, and the
# coupling that gets both right.
#
# The data are points near a circle, and the condition says where: $y$ in $[-1, 1]$ stands for the
# angle $\pi y$. Given $y$, the points are normal around $(\cos \pi y, \sin \pi y)$ with standard
# deviation 0.15. Each panel shows samples for three conditions after training with one coupling;
# crosses mark where they belong.

# %% alt="Three panels with samples for three conditions in three colours around a grey circle. With the couplings none and conditional-ot each colour is a small cloud on its cross; with ot the colours are scattered over the whole disc."
import matplotlib.pyplot as plt
import numpy as np
import torch

import energyflow as ef
from energyflow.models import FlowMatching

torch.set_num_threads(1)  # enough for networks as small as these
SPREAD = 0.15


def truth(y, rng):
    centres = np.hstack([np.cos(np.pi * y), np.sin(np.pi * y)])
    return centres + SPREAD * rng.normal(size=centres.shape)


rng = np.random.default_rng(0)
y = rng.uniform(-1, 1, size=(10_000, 1))
x = truth(y, rng)

models = {}
for coupling in ("none", "ot", "conditional-ot"):
    model = FlowMatching(
        preset="toy",
        coupling=coupling,
        base="none",
        n_steps=1000,
        n_rounds=1,
        device="cpu",
    )
    models[coupling] = model.fit(
        x.astype(np.float32), y.astype(np.float32), progress=False
    )

wanted = (-0.7, 0.0, 0.4)
panels = plt.figure(figsize=(5.4, 2.1)).subplots(1, 3, sharex=True, sharey=True)
for axes, (coupling, model) in zip(panels, models.items(), strict=True):
    axes.scatter(*x[:1000].T, s=1, color="C5", alpha=0.4, linewidths=0)
    for k, value in enumerate(wanted):
        samples = model.sample(300, np.array([value], np.float32), rng=1)
        axes.scatter(*samples.T, s=2, color=f"C{k}", linewidths=0)
        axes.plot(np.cos(np.pi * value), np.sin(np.pi * value), "x", color="C3")
    axes.set(title=coupling, aspect="equal")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# The energy distance between samples and the truth, over ten conditions. The U estimator has no
# bias, so that of true samples, the floor, is zero but for chance.

# %%
conditions = np.linspace(-0.9, 0.9, 10)


def distance(draw):
    distances = []
    for value in conditions:
        true = truth(np.full((1000, 1), value), rng)
        distances.append(
            float(ef.energy_distance(draw(value), true, estimator="U"))
        )
    return np.mean(distances)


def by(model, **how):
    def draw(value):
        condition = np.array([value], np.float32)
        return model.sample(1000, condition, rng=1, **how).astype(float)

    return draw


floor = distance(lambda value: truth(np.full((1000, 1), value), rng))
reached = {coupling: distance(by(model)) for coupling, model in models.items()}
for coupling, value in {"floor": floor, **reached}.items():
    print(f"{coupling:15} {value:8.5f}")
assert reached["conditional-ot"] < 0.005
assert reached["ot"] > 50 * reached["conditional-ot"]

# %% [markdown]
# ## Why plain transport goes wrong
#
# In each batch, plain transport sends noise on the left to data on the left. Data on the left have
# conditions of their own, so the network only ever sees the condition of the left together with
# noise of the left. When samples are drawn, noise comes from everywhere.
#
# The same happens to distances. Below are conditions $0, \tfrac{1}{40}, \tfrac{2}{40}, \dots$ with
# one point each, $1$ and $-1$ in turn, and the same with all signs changed. As joint distributions
# the two are close: a point finds its like at the next condition. Given any condition they are
# opposite. The *conditional* Wasserstein distance sees that, since its plans must not leave a
# condition; its relaxation charges $\beta^2 |y - y'|^2$ for leaving, and tells more and more as
# $\beta$ grows:

# %% alt="A curve over beta with a logarithmic axis: near zero for small beta, rising steeply between ten and a hundred, and level at two, the conditional distance, beyond."
n = 40
at = np.arange(n)[:, None] / n
signs = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]
betas = np.geomspace(0.1, 1000, 40)
relaxed = [
    float(ef.conditional_wasserstein_distance(signs, at, -signs, at, beta=beta))
    for beta in betas
]
exact = float(ef.conditional_wasserstein_distance(signs, at, -signs, at))

axes = plt.figure(figsize=(5.4, 2.4)).subplots()
axes.axhline(exact, color="C1", linestyle="--", label="conditional")
axes.semilogx(betas, relaxed, color="C0", label=r"relaxed by $\beta$")
axes.set(xlabel=r"$\beta$", ylabel="distance")
axes.legend(frameon=False)
plt.show()

assert relaxed[0] < 0.1
assert np.all(np.diff(relaxed) >= -1e-9)
assert np.isclose(relaxed[-1], exact)
assert np.isclose(exact, 2.0)

# %% [markdown]
# ## Fewer steps
#
# `coupling="conditional-ot"` gives the noise the conditions of the data and pairs the two at the
# relaxed cost, in every batch. Nearby conditions may swap noise, so paths get straighter all the
# same. `beta` sets how near they must be; it is 20 here. A smaller one straightens more and blurs
# conditions more. Samples by a few Euler steps:

# %% alt="Energy distance over the number of Euler steps, both axes logarithmic. The curve of the conditional coupling lies below that of no coupling for few steps, most at five, and the gap narrows for many."
steps = (1, 2, 3, 5, 10, 20)
axes = plt.figure(figsize=(5.4, 2.6)).subplots()
few = {}
for colour, coupling in (("C1", "none"), ("C0", "conditional-ot")):
    few[coupling] = [
        distance(by(models[coupling], solver="euler", n_steps=k)) for k in steps
    ]
    axes.loglog(steps, few[coupling], "o-", color=colour, label=coupling)
axes.set(xlabel="Euler steps", ylabel="energy distance")
axes.legend(frameon=False)
plt.show()

print(
    *(
        f"{k:3} steps: {few['none'][i] / few['conditional-ot'][i]:.1f} times nearer"
        for i, k in enumerate(steps)
    ),
    sep="\n",
)
assert few["conditional-ot"][1] < few["none"][1] / 3

# %% [markdown]
# ## Try next
#
# - `model.log_likelihood(points, condition)` gives the log-density, by the divergence of the
#   velocity.
# - `condition_dropout=0.1` and `sample(..., guidance=2.0)` exaggerate a condition.
# - `energyflow train flow-matching --data digits --condition labels --out runs/digits` trains on
#   images by class.
# - [Why joint is not posterior](../explanation/joint-and-posterior.md) says when a joint distance
#   does bound that of the conditional distributions.
# - [The measured runs](../benchmarks/flow_matching.md) compare the couplings on posteriors that
#   are known, over seeds, steps and time.
# - The paper: Chemseddine, Hagemann, Steidl, Wald, *Conditional Wasserstein Distances with
#   Applications in Bayesian OT Flow Matching*, JMLR 26, 2025.
