"""Measuring the memory of a step by phase, on any device."""
