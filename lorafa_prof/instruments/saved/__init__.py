"""Recording what autograd saves for backward, and what it needs each saved tensor for."""
