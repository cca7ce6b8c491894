"""How much memory a computation may take beside its arguments and its result."""

MEMORY_BUDGET = 64 * 2**20  # bytes that a chunk of slices or a tile of pairs may take
