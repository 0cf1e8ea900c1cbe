"""lorafa-prof: memory and systems profiling of fine-tuning steps, Full-FT, LoRA and LoRA-FA."""
