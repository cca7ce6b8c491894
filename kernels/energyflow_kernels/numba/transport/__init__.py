"""Optimal transport on the line, for many rows at once."""
