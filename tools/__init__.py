"""Tools for releases: pinned versions, lowest versions, and the test of what is shipped."""
