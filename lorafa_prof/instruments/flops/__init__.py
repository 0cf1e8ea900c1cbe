"""FLOPs of a step, counted from the operations executed; `opinions` has two other ways to tell them."""
