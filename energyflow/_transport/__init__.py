"""Optimal plans between samples, condition by condition."""
