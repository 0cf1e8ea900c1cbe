"""Recording allocations one by one, of a GPU and of its twin."""
