"""Limits on the memory of any code, held by pytest. `plugin` is its entry point and imports the rest late."""
