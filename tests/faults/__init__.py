"""Work that is killed, interrupted or loses a process (in the suite, and as a table of results).

python -m tests.faults [flow "train dmmd" ... processes] [--quick]
"""
