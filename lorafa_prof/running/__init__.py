"""Running cells, each in a process of its own, and keeping what they yield."""
