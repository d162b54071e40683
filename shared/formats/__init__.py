"""Formats of files that one plane writes and the other reads; no input or output."""
