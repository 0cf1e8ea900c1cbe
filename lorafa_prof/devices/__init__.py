"""Where a step runs: CUDA, CPU, and the catalogue of GPUs."""
