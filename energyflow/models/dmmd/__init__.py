"""Deep MMD gradient flows: features of noise levels, and particles that follow them."""
