"""Llama-shaped decoder layers whose products are packed: q, k, v as one, gate and up as one, adapters inside.

`product.py` is one product of several linear layers: by `projection.py`, which stores their weights, A's and
B's in one buffer, or by `fp8_projection.py`, of a base in 8-bit floats; `pack.py` makes it.
`attention_input.py`, `residual_output.py` and `gated_mlp.py` are the autograd functions of a layer; the other
files are its operations, each with a reference in plain PyTorch, which the CPU runs, and a Triton kernel for
CUDA (`layers/triton_kernels/`).
"""
