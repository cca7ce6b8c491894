"""Fused kernels for CPUs, by Numba."""
