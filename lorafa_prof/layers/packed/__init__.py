"""Llama-shaped decoder layers whose products are packed: q, k, v as one, gate and up as one, adapters inside.

`projection.py` stores the weights of several linear layers, their A's and their B's in one buffer;
`attention_input.py`, `residual_output.py` and `gated_mlp.py` are the autograd functions of a layer; the other
files are its operations, each with a reference in plain PyTorch, which the CPU runs, and a Triton kernel for
CUDA (`layers/triton_kernels/`).
"""
