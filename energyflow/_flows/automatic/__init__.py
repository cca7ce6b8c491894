"""What a flow decides by itself: slices, step sizes, momentum, and whether it has arrived."""
