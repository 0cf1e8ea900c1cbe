"""Real tasks: their data, what a model is trained on, and how well it does them."""
