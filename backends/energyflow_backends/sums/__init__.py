"""One-dimensional and pairwise sums that several backends share."""
