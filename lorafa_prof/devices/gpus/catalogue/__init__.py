"""The catalogue, one file per generation, each with a tuple `GPUS`."""
