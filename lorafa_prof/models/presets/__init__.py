"""The built-in presets, one file per family, each with a `PRESETS` tuple that the registry finds."""
