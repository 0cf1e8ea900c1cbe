"""Profiling any PyTorch code: the engine of `lorafa_prof.profile`, the pytest fixture and the callbacks."""
