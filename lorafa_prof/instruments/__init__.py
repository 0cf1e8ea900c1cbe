"""What is observed of a step: memory, saved tensors, FLOPs, time, energy."""
