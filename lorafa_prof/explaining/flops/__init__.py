"""Three opinions on the FLOPs of a step, module by module, and why they differ where they do."""
