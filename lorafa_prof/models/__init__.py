"""Which network: presets with published shapes, building on any device, inputs per task."""
