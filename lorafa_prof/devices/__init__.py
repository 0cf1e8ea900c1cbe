"""Where a step runs: on CUDA, on the CPU or on a GPU's twin, and the catalogue of GPUs."""
