"""One module a library: the backends that compute with its functions, or for its arrays."""
