"""Running programs that a model wrote where they can do no harm, or not at all."""
