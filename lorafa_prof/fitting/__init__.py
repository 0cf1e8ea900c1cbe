"""Answering "will it fit": the search over batches and sequences on the twin."""
