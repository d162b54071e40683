"""The platform API, as JSON over HTTP."""
