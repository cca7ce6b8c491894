"""Values and sums in the graphs and under the transformations of torch and JAX."""
