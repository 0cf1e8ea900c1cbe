"""One file for each kind of task; its `TASKS` are entries of the catalogue."""
