"""How close a step of an adapter comes to the step of the whole weight: gradient fidelity."""
