"""Whether samples differ: energies of relabelled points."""
