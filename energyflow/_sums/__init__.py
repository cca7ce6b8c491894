"""Sums over pairs and slices: distances, kernel sums, witnesses and scores."""
