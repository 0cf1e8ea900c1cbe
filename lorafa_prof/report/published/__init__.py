"""A page of published numbers, each beside what a GPU measured and what the twin predicts of it.

A published number is a claim of a scenario. The page, its tables and its pictures are written from a folder
of results: docs/published.md says how the folder is laid out.
"""
