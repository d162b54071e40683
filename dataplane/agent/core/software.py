"""The release of this agent, from the installed distribution."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

_DISTRIBUTION = "volary"


@cache
def describe_software() -> str:
    """Return program and release, such as "volary-agent 0.1.0", as the control plane is told."""
    try:
        return f"volary-agent {version(_DISTRIBUTION)}"
    except PackageNotFoundError:  # sources that were not installed
        return "volary-agent unknown"
