"""Networks: presets with published shapes, building them on any device, and inputs for each task."""
