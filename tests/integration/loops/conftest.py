"""Fixture of the loops' tests: the store."""

from tests.integration.store.conftest import store

__all__ = ["store"]
