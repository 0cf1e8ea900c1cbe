"""The twin against the GPU: residuals of the counters, and the operations they come from.

Pure functions on what was predicted and measured; whoever ran it stands in `running`.
"""
