# %% [markdown]
# # Two groups of patients
#
# Two tables, the same columns, different units: do they differ, in what, and by how much? The data
# are real: 442 patients with diabetes, their age, body mass index, blood pressure, six values of
# their blood, and how far the disease had advanced a year later (Efron, Hastie, Johnstone and
# Tibshirani 2004). They come with scikit-learn, in the units in which they were measured.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import energyflow as ef

data = load_diabetes(scaled=False)
names = {
    "age": "age", "bmi": "body mass index", "bp": "blood pressure", "s1": "cholesterol",
    "s2": "LDL", "s3": "HDL", "s4": "cholesterol / HDL", "s5": "log triglycerides",
    "s6": "blood sugar",
}  # fmt: skip
columns = {
    name: data.data[:, data.feature_names.index(key)]
    for key, name in names.items()
}
sex = data.data[:, data.feature_names.index("sex")]
first, second = (
    {name: column[sex == k] for name, column in columns.items()} for k in (1, 2)
)
for name, column in columns.items():
    print(f"{name:18s} {column.mean():7.1f} ± {column.std():.1f}")

# %% [markdown]
# ## Do they differ?
#
# The table codes the sexes as 1 and 2. Standard deviations reach from 0.5 to 35: added as they are,
# cholesterol would decide alone. Tables with named columns are therefore divided by the standard
# deviations of all patients. A table is a mapping of names to columns, as here, or a data frame of
# pandas or polars: columns are matched by their names.

# %%
result = ef.energy_test(first, second, rng=0)
print(result)
assert result.scale == "sd"
assert result.pvalue == 0.001

# %% [markdown]
# The p-value is the smallest that 999 relabellings can give. It says that there is a difference, and
# not how large it is: that is the energy coefficient of inhomogeneity, 0 for equal distributions and
# 1 for two points. Two normal distributions half a standard deviation apart have 0.058 on the line.

# %%
effect = result.effect_size(rng=0)
print(effect)
assert 0.02 < effect.low < effect.value < effect.high < 0.1

# %% [markdown]
# ## In what?
#
# Each column is tested by itself, and all columns but it. P-values are corrected for the number of
# columns: the probability that one or more of those that do not differ is found is 5 % at most.

# %%
tests = ef.column_tests(first, second, rng=0)
found = [
    name
    for name, p in zip(tests.columns, tests.pvalues, strict=True)
    if p <= 0.05
]
print("different:", ", ".join(found))
print(
    "not found:", ", ".join(name for name in tests.columns if name not in found)
)
assert {"HDL", "cholesterol / HDL"} < set(found)
assert "cholesterol" not in found

# %% [markdown]
# The picture shows the distance of each column alone, and how much of the distance of all columns
# goes when it is left out. `tests.save_figure("columns.pdf")` draws one like it for a paper.

# %% alt="Two panels of horizontal bars, a bar for each column. Left, distances: HDL and its ratio to cholesterol have the longest, cholesterol hardly any. Right, shares: HDL has about a quarter, most others next to nothing, and a few are below zero."
order = np.argsort(tests.alone)
figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(6.4, 3.2))
left.barh(np.arange(len(order)), tests.alone[order], color="C0")
left.set_yticks(np.arange(len(order)), [tests.columns[k] for k in order])
left.set(xlabel="energy distance, alone")
right.barh(np.arange(len(order)), 100 * tests.shares[order], color="C1")
right.axvline(0, color="gray", linewidth=0.8)
right.spines["left"].set_visible(False)
right.tick_params(axis="y", length=0)
right.set(xlabel="% lost when left out")
plt.show()
assert tests.columns[order[-1]] == "HDL"

# %% [markdown]
# ## Is it age?
#
# Patients of the second sex are four and a half years older on average. Strata answer: labels are
# exchanged only among patients of the same ten years, so that a difference in age alone does not
# count. The difference stays.

# %%
decades = [group["age"] // 10 for group in (first, second)]
without_age = [
    {name: column for name, column in group.items() if name != "age"}
    for group in (first, second)
]
within = ef.energy_test(*without_age, strata=decades, rng=0)
print(within)
assert within.pvalue == 0.001

# %% [markdown]
# ## What goes with the disease?
#
# The last question is one of dependence: which columns tell how far the disease had advanced a year
# later? The distance correlation is zero for independent numbers only, whatever the shape of their
# relation. With a third column given, its part is removed: body mass index tells something that
# triglycerides do not.

# %%
progression = data.target
for name, column in columns.items():
    strength = float(ef.distance_correlation(column, progression))
    print(f"{name:18s} {strength:.2f}")
index, triglycerides = columns["body mass index"], columns["log triglycerides"]
partial = ef.independence_test(index, progression, triglycerides, rng=0)
print(f"body mass index, triglycerides given: p = {partial.pvalue}")
assert float(ef.distance_correlation(index, progression)) > 0.5
assert partial.pvalue == 0.001

# %% [markdown]
# ## Try next
#
# - The same from files: `energyflow test first.csv second.csv --by-column --effect`, see
#   [Compare two tables](../howto/tables.md).
# - Calls of other libraries, side by side:
#   [Coming from dcor, hyppo, alibi-detect or SciPy](../howto/coming-from-tests.md).
# - A reference: Efron, Hastie, Johnstone, Tibshirani, *Least Angle Regression*, Annals of
#   Statistics, 2004.
