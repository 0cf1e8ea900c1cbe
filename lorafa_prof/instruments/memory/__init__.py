"""Memory of a step by phase, on any device."""
