"""Slices or points that are shared among processes."""
