"""What everything uses: checks, files, random numbers, progress, interrupts, memory."""
