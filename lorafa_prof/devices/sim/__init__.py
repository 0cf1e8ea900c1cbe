"""The twin of a GPU: steps on shapes, with a model of PyTorch's CUDA caching allocator in pure Python."""
