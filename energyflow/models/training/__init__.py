"""The trainer, its plan, and what a run keeps in its folder."""
