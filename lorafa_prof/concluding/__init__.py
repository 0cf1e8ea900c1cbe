"""What a run comes to, in plain sentences: how methods compare, what ran out, what a setting changes."""
