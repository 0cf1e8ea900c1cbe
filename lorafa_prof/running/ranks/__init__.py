"""A cell on several ranks: starting them, watching them, and one row of them all."""
