"""Starlette: probes, metrics, signed blobs, and one day the console."""
