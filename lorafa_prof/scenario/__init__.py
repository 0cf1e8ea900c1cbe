"""What to measure: the scenario file, its schema, and its expansion into cells."""
