"""Kernels written in Triton, all of them: what each computes is told by its reference in plain PyTorch.

A file per kernel; its name is that of the file in `lorafa_prof/layers/packed/` which has the reference. No kernel
allocates memory: results are written to tensors that it is given. Imported on a CUDA device only.
"""
