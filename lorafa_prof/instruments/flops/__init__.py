"""Counting FLOPs, and two other opinions on them."""
