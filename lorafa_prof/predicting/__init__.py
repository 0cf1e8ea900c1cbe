"""Running a script as it is on a GPU's twin, and what its memory comes to."""
