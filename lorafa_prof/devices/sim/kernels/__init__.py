"""What CUDA kernels allocate, one file per family of operations; see `kernel.py`."""
