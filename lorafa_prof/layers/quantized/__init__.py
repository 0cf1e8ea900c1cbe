"""Frozen linear layers of 4 or 8 bits.

Those in 8-bit floats are of this package, wherever they run; the others are bitsandbytes' own where there are
numbers, and stand-ins on shapes.
"""
