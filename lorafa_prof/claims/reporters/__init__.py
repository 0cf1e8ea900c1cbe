"""How judgements are told: each reporter turns a sequence of them into text, for people or for machines."""
