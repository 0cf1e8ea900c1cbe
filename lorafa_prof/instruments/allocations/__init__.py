"""Allocations one by one: of the GPU and of its twin."""
