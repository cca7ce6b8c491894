"""Generative sliced MMD flows: a chain of networks that learns a particle flow."""
