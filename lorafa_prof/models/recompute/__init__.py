"""The values of a scenario's `checkpointing`: what of forward is run again, or brought back from the host.

`choice.py` reads a value; `attention.py`, `mlp.py`, `packed_layers.py` and `offload.py` each make a model do
one part of it. Whole layers are recomputed by transformers' own way (`models/build.py`).
"""
