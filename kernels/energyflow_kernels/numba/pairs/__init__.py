"""Sums over all pairs of points in one pass over tiles, without a matrix of pairs."""
