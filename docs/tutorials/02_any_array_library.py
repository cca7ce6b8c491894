# %% [markdown]
# # Any array library
#
# NumPy, torch, JAX, CuPy, or any library that follows the array API standard: what goes in decides
# what comes out, with the same dtype on the same device. Torch and JAX differentiate through it.
#
# The picture shows what that is good for. A torch module, here an affine map of noise, is trained
# by the energy distance between its outputs (blue) and a sample (orange).

# %% alt="Two pictures of points. Before training, a round cloud lies beside a tilted ellipse of points; after training the two cover each other."
import matplotlib.pyplot as plt
import numpy as np
import torch

import energyflow as ef

generator = torch.Generator().manual_seed(0)
mean, factor = torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 0.0], [1.0, 0.5]])
sample = torch.randn(2000, 2, generator=generator) @ factor.T + mean

module = torch.nn.Linear(2, 2)
with torch.no_grad():
    module.weight.copy_(torch.eye(2))
    module.bias.zero_()
optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
noise = torch.randn(2000, 2, generator=generator)
before = module(noise).detach()
for step in range(300):
    made = module(noise)
    loss = ef.sliced_energy_distance(made, sample, n_projections=16, rng=step)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
after = module(noise).detach()

panels = plt.figure(figsize=(5.4, 2.6)).subplots(1, 2, sharex=True, sharey=True)
shown = {"before": before, "after": after}
for axes, (name, points) in zip(panels, shown.items(), strict=True):
    axes.scatter(*sample.T, s=2, color="C1", linewidths=0)
    axes.scatter(*points.T, s=2, color="C0", linewidths=0)
    axes.set(title=name, aspect="equal")
    axes.set_axis_off()
plt.show()

# %% [markdown]
# The energy distance is zero only between equal distributions, so the map must have found the mean
# and the covariance of the sample.

# %%
covariance, wanted = after.T.cov(), sample.T.cov()
print("mean", after.mean(0).numpy(), "of the sample", sample.mean(0).numpy())
print("covariance", *covariance.numpy(), "of the sample", *wanted.numpy())
assert torch.allclose(after.mean(0), sample.mean(0), atol=0.05)
assert torch.allclose(covariance, wanted, atol=0.15)

# %% [markdown]
# ## The same numbers everywhere
#
# `ef.reference` is the slow, obvious twin of the library: float64 NumPy, loops and sums over all
# pairs, each function its formula. Here is the same problem in four libraries, along the same
# directions, against it.

# %%
import array_api_strict
import jax
import jax.numpy as jnp

rng = np.random.default_rng(0)
x, y = rng.normal(size=(200, 3)), rng.normal(size=(300, 3)) + 0.5
directions = ef.sample_projections(64, 3, rng=0)
value = ef.reference.sliced_energy_distance(x, y, projections=directions)
gradient = ef.reference.sliced_energy_gradient(x, y, projections=directions)

libraries = {
    "numpy": np.asarray,
    "torch": torch.asarray,
    "jax": jnp.asarray,  # float32, as it comes
    "strict": array_api_strict.asarray,
}
for name, array in libraries.items():
    found, slope = ef.sliced_energy_value_and_gradient(
        array(x), array(y), projections=array(directions)
    )
    assert type(found) is type(slope) is type(array(x))
    assert found.dtype == slope.dtype == array(x).dtype
    error = abs(float(found) - value) / value
    away = np.linalg.norm(np.asarray(slope) - gradient) / np.linalg.norm(
        gradient
    )
    print(f"{found.dtype!s:24}  value {error:.0e}  gradient {away:.0e}")
    assert max(error, away) < (1e-5 if name == "jax" else 1e-12)

# %% [markdown]
# With a seed in place of directions the libraries agree as well: an integer draws the same ones for
# all of them.

# %%
arrays = libraries.values()
drawn = [float(ef.sliced_energy_distance(f(x), f(y), rng=7)) for f in arrays]
assert np.allclose(drawn, drawn[0], rtol=1e-5)

# %% [markdown]
# ## Gradients
#
# What `backward()` of torch and `jax.grad` give is the closed form, not a differentiated sort: one
# pass gives value and gradient. So it works under `jax.jit` too.

# %%
points = torch.asarray(x).requires_grad_()
other, along = torch.asarray(y), torch.asarray(directions)
ef.sliced_energy_distance(points, other, projections=along).backward()
assert np.allclose(points.grad, gradient, atol=1e-15)


@jax.jit
def slope(points):
    return jax.grad(ef.sliced_energy_distance)(
        points, jnp.asarray(y), projections=jnp.asarray(directions)
    )


assert np.allclose(slope(jnp.asarray(x)), gradient, rtol=1e-3, atol=1e-6)

# %% [markdown]
# ## Which implementation runs
#
# The array decides, and you can ask. `ef.use_backend` names one, and raises where it cannot run.

# %%
print(ef.show_backends())
with ef.use_backend("numpy"):
    plain = ef.sliced_energy_distance(x, y, projections=directions)
assert np.isclose(plain, value, rtol=1e-12)

# %% [markdown]
# Libraries are never mixed, and nothing is moved between devices behind your back:

# %%
try:
    ef.energy_distance(x, torch.asarray(y))
except TypeError as error:
    print(error)
else:
    raise AssertionError("mixed libraries must be refused")

# %% [markdown]
# ## Try next
#
# - `torch.asarray(x, device="cuda")`: fused Triton kernels run, without another line.
# - Batches: x of shape (10, 200, 3) and y of shape (300, 3) give ten distances.
# - `ef.energy_distance` sums over all pairs: the same types, no directions.
