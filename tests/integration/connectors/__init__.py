"""Attempts run by the SDK's own connector server."""
