"""One file a topic: its experiments, whose numbers stand in one table of results."""
