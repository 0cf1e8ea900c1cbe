"""Training cells on real tasks, and what is kept of how well they learned."""
