"""GPUs whose peaks are known: what MFU and the twin need to know about a card."""

from lorafa_prof.devices.gpus.gpu import GPUS, Gpu, find_gpu, peak_flops

__all__ = ["GPUS", "Gpu", "find_gpu", "peak_flops"]
