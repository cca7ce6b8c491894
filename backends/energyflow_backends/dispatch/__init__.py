"""From arrays of any library to a backend and back: what the highest layer calls."""
