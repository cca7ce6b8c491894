# %% [markdown]
# # Do two samples differ?
#
# Two samples never have the energy distance zero, not even when they come from the same source. Is
# the distance larger than chance explains? A permutation test answers this exactly: it mixes the
# labels of the points, again and again, and counts how often the distance becomes as large.
#
# Below, `x` is normal and `y` lies on a ring with the same mean and the same covariance, a
# little blurred. A test of means has nothing to find here.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import ttest_ind

import energyflow as ef

rng = np.random.default_rng(0)


def ring(n):
    angle = rng.uniform(0, 2 * np.pi, n)
    points = np.sqrt(1.98) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + 0.1 * rng.normal(size=(n, 2))  # variance 1.98 / 2 + 0.01


x, y = rng.normal(size=(300, 2)), ring(300)
result = ef.energy_test(x, y, n_resamples=999, rng=0)
means = ttest_ind(x, y).pvalue
print(result)
print("p-values of t-tests, one for each coordinate:", means.round(2))
assert result.pvalue < 0.01
assert means.min() > 0.05

# %% [markdown]
# Left, the samples. Right, what the distance would be by chance: a histogram over 999 relabellings,
# with the distance that was found as a line.

# %% alt="Left: points of a round cloud, and points of a ring around its middle. Right: a histogram of distances, and far to its right a vertical line."
figure, (left, right) = plt.subplots(1, 2, figsize=(5.6, 2.9))
left.scatter(*x.T, s=5, linewidths=0, label="x")
left.scatter(*y.T, s=5, linewidths=0, label="y")
left.set(aspect="equal")
left.set_axis_off()
left.legend(loc="upper left", markerscale=3, handletextpad=0)
right.hist(result.null_distribution, bins=30, alpha=0.6)
right.axvline(result.statistic, color="C1")
right.set(xlabel="energy distance", yticks=[])
right.spines["left"].set_visible(False)
plt.show()

# %% [markdown]
# ## The level is exact
#
# If the samples do come from one source, a p-value of at most 5 % comes up in 5 % of all cases:
# not about, and not for large samples only. We run 400 such tests of ten points against ten.

# %%
pvalues = []
for k in range(400):
    same, source = rng.normal(size=(2, 10, 3))
    pvalues.append(ef.energy_test(same, source, n_resamples=99, rng=k).pvalue)
rejected = np.mean(np.array(pvalues) <= 0.05)
chance = np.sqrt(0.05 * 0.95 / 400)  # the standard deviation of this mean
print(f"rejected: {rejected:.1%}; expected: 5 %, give or take {chance:.1%}")
assert abs(rejected - 0.05) < 3 * chance

# %% [markdown]
# ## The statistic is the energy distance
#
# For normal distributions on the line whose means are $\delta$ apart, both of variance one,
#
# $$
# E = 2 \, m(\delta) - 2 \, m(0), \qquad
# m(\delta) = \frac{2}{\sqrt{\pi}} e^{-\delta^2 / 4} + \delta \, \mathrm{erf}(\delta / 2) ,
# $$
#
# $m(\delta)$ being the mean distance of two points whose means are $\delta$ apart.

# %%
from scipy.special import erf

many = rng.normal(size=(2, 100_000, 1))
many[1] += 0.5


def mean_distance(delta):
    return 2 / np.sqrt(np.pi) * np.exp(-(delta**2) / 4) + delta * erf(delta / 2)


exact = 2 * mean_distance(0.5) - 2 * mean_distance(0.0)
found = ef.energy_test(*many, n_resamples=19, rng=0)
print(f"closed form {exact:.4f}, of 100,000 points {found.statistic:.4f}")
assert abs(found.statistic - exact) < 0.05 * exact

# %% [markdown]
# ## Which points make the difference?
#
# A day's data look like yesterday's, but for 5 % that come from somewhere else. The test says that
# something is wrong, and the *scores* say where: they are large where a point is much nearer to its
# own sample than to the other.

# %% alt="Two thousand points of a cloud. Those with the highest scores are marked, and most of them form a small cluster at one side."
yesterday, today = rng.normal(size=(2, 2000, 2))
today[:100] = 0.2 * rng.normal(size=(100, 2)) + np.array([1.8, -1.2])
result = ef.energy_test(yesterday, today, n_resamples=199, rng=0)
scores = result.scores()[1]  # of the second sample, (2000,)
suspects = np.argsort(scores)[-100:]

figure, axes = plt.subplots(figsize=(4.6, 3.6))
axes.scatter(*today.T, s=4, linewidths=0, label="today")
axes.scatter(*today[suspects].T, s=10, linewidths=0, label="highest scores")
axes.set(aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
axes.set_axis_off()
axes.legend(loc="upper right", markerscale=2, handletextpad=0)
plt.show()

# %%
share = np.mean(suspects < 100)  # the wrong points are the first hundred
print(f"p = {result.pvalue:.3f}; of the suspects, {share:.0%} are wrong points")
assert result.pvalue <= 0.05
assert share > 0.6

# %% [markdown]
# ## Many points, and more samples
#
# Up to 5000 points all pairs are summed. Beyond, the points are sorted along 128 directions, once
# each, and all relabellings run along that order: no matrix, and time that grows like $N \log N$.
# With three samples or more, `pairwise` says which differ.

# %%
large = [rng.normal(size=(20_000, 5)) for _ in range(3)]
large[2][:, 0] *= 1.1
result = ef.energy_test(*large, n_resamples=199, rng=0)
print(result)
print(np.array2string(result.pairwise, precision=6, suppress_small=True))
assert result.method == "sliced"
assert result.pvalue < 0.05
assert result.pairwise[0, 1] < min(result.pairwise[0, 2], result.pairwise[1, 2])

# %% [markdown]
# ## Try next
#
# - `strata=` relabels only within a batch, a site or a pair, where samples are matched.
# - `result.save_null("null.png")` and `result.save_scores("scores.png")` draw pictures like these.
# - `energyflow test a.npy b.npy --scores drift.csv` does it from the command line.
# - A reference: Székely and Rizzo, *Testing for equal distributions in high dimension*, InterStat,
#   2004.
