"""Tools for releases, pins and recorded outputs: each a module that is run by its name."""
