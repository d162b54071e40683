"""Authenticates credentials as Callers; knows headers and keys, never messages or tables."""
