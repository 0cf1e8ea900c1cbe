"""Expectations on results: claims, baselines, comparisons, and what comes of judging them."""
