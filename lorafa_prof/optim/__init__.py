"""Optimizers: AdamW as users run it, and the LoRA-FA gradient correction."""
