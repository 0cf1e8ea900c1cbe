"""Layers of our own: low-rank adapters, and fused norm and loss that hold less for backward."""
