"""The real parts of both planes, for stories that are recorded and played."""

from tests.integration.link.conftest import door
from tests.integration.store.conftest import store

__all__ = ["door", "store"]
