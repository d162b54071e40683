"""The sidecar that brings inputs to a raw container and ships its outputs."""
