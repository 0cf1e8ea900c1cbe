"""Comparing two runs cell by cell: what can be compared, what got worse, and what grew."""
