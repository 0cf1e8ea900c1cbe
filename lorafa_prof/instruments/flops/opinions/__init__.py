"""Other opinions on a step's FLOPs, to hold the counter's against: by fvcore, and by closed formulas.

`lorafa-prof flops` tells all of them side by side (`explaining/flops`), and `tests/instruments/flops/opinions`
requires that they agree.
"""
