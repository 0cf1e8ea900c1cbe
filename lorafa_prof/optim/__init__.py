"""Optimizers as users run them, clipping of gradients, and the LoRA-FA gradient correction."""
