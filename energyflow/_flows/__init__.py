"""Particles that descend a functional, step by step."""
