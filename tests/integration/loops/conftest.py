"""The store of the store's tests."""

from tests.integration.store.conftest import store

__all__ = ["store"]
