"""Wire contracts, and the Python generated from them (``make generate``)."""
