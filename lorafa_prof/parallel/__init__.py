"""A step on several GPUs: how a model is spread over ranks, and how ranks are started, measured and ended."""
