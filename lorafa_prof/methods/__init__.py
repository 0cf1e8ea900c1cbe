"""How the weights train: one file per method."""
