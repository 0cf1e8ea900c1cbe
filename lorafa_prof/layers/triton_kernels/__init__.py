"""Kernels written in Triton, all of them: what each computes is told by its reference in plain PyTorch.

A file per kernel; its name is that of the operation in `lorafa_prof/layers/packed/`, where the reference is;
that of `fp8.py` is in `lorafa_prof/layers/quantized/fp8_products.py`. No kernel allocates memory: results are
written to tensors that it is given. Imported on a CUDA device only.
"""
