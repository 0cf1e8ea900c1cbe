"""The low-rank linear layer and where it goes."""
