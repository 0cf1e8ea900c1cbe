"""Instruments that observe a step: memory, saved tensors, FLOPs, time, energy."""
