"""The backends that come with the package, one line each.

An automatic choice asks them in this order, so the fastest stand first. A line is the module in
this package and the subclass of `Backend` in it.
"""

BACKENDS = (
    ".libraries.triton:TritonBackend",
    ".libraries.numba:NumbaBackend",
    ".libraries.numpy:NumpyBackend",
    ".libraries.torch:TorchBackend",
    ".libraries.jax_callback:JaxCallbackBackend",
    ".libraries.jax:JaxBackend",
    ".libraries.cupy:CupyBackend",
    ".dask.backend:DaskBackend",
    "._base:Backend",
)
