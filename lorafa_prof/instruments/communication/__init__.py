"""What ranks send each other in a step: how much, in which buffers, and what of it nothing hides."""
