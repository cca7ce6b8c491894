"""Damaged files for every loader, from Hypothesis (in the suite) and from atheris (`make fuzz`)."""
