"""A device that is not there: PyTorch's CUDA caching allocator in pure Python."""
