"""Dask: sliced energy distances of arrays that are larger than memory."""
