"""Builds everything that a release consists of, so that equal sources give equal bytes (``make release``)."""
