"""The commands that test samples from files: one against another, or batch after batch."""
