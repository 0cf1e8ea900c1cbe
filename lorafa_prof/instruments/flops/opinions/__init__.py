"""Other opinions on a step's FLOPs, to hold the counter's against: by fvcore, and by closed formulas.

No command asks for them. `benchmarks/flops_opinions.py` prints all counts side by side, which is the table of
docs/flops.md, and `tests/instruments/flops/opinions` requires that they agree.
"""
