"""What flash-attention's packages do around their kernels, on shapes alone: for the twin, without them."""
