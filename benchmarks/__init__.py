"""What is measured, and the one way to run it: `python -m benchmarks TOPIC [EXPERIMENT ...]`."""
