"""Other opinions on a step's FLOPs, to hold the counter's against: fvcore, and closed formulas.

`lorafa-prof flops` tells all of them side by side (`explaining/flops`), and their tests require that they
agree.
"""
