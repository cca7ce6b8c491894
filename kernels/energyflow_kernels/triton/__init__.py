"""Fused kernels for GPUs, by Triton."""
