"""Values with which the charts can be installed."""

from tests.servers.helm import helm

__all__ = ["helm"]
