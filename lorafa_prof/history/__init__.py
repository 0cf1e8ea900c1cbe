"""How metrics moved: over stored runs, or over the commits of a baseline."""
