"""A credential becomes a Caller. Knows headers and keys, never messages or tables."""
