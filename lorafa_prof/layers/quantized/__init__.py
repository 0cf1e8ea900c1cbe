"""Frozen linear layers of 4 or 8 bits: bitsandbytes' own where there are numbers, stand-ins on shapes."""
