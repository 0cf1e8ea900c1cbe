"""What autograd saves for backward, and what for."""
