"""Time and memory of one gradient, beside other ways to compute it; see docs/benchmarks.md."""
