"""Layer 1: fused kernels and their launchers; nothing about array libraries or models."""
