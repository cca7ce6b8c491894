"""Distance covariances of paired points, and of many permutations of one side."""
