"""Verifying the twin against the GPU: residuals of the counters, and the operations they come from.

Pure functions on what was predicted and measured; what runs the cells stands in `running`.
"""
