"""Time and memory of one gradient, beside other ways to compute it (docs/benchmarks)."""
