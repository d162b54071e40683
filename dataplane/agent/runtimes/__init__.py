"""Runtimes, which run attempts. Each implements the interface in ``runtimes.protocol``."""
