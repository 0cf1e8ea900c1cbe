"""Fine-tuning methods, one file each: which weights train, and how."""
