"""Directions and other ways of slicing: what draws projectors, and where good sets come from."""
