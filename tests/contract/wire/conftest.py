"""The real parts of both planes, for stories that are recorded and played."""

from tests.integration.link.conftest import link
from tests.integration.store.conftest import store

__all__ = ["link", "store"]
