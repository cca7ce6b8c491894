"""Whether samples of posteriors are right: ranks, coverage, predictive checks, scores, pictures."""
