"""Data on the scale of the networks: scaling, noise, conditions."""
