"""Compares the release of an agent with the control plane's."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

KEPT_RELEASES = 2
"""Releases that an agent may be behind the control plane (docs/install.md)."""

_RELEASE = re.compile(r"(\d{1,6})\.(\d{1,6})(?:[.+a-z-].*)?")


@cache
def own_release() -> str:
    """Return the release of the control plane, from the installed distribution; "" if there is none."""
    try:
        return version("volary")
    except PackageNotFoundError:  # sources that were not installed
        return ""


def read_release(software: str) -> str:
    """Return the release in "volary-agent 0.1.0"; "" if there is none."""
    last = software.rpartition(" ")[2]
    return last if _RELEASE.fullmatch(last) else ""


def describe_skew(agent: str, own: str) -> str:
    """
    Return what differs between the releases of an agent and of the control plane, with a remedy.

    "" if nothing does, or if either is not known. Releases that differ in the third number only
    are the same here.
    """
    theirs, ours = _RELEASE.fullmatch(agent), _RELEASE.fullmatch(own)
    if theirs is None or ours is None:
        return ""
    (major, minor), (own_major, own_minor) = (
        (int(each[1]), int(each[2])) for each in (theirs, ours)
    )
    if (major, minor) == (own_major, own_minor):
        return ""
    if (major, minor) > (own_major, own_minor):
        return f"the agent ({agent}) is newer than the control plane ({own}): upgrade that first"
    behind = own_minor - minor
    if major == own_major and behind <= KEPT_RELEASES:
        releases = "release" if behind == 1 else "releases"
        return f"the agent ({agent}) is {behind} {releases} behind the control plane ({own})"
    return f"the agent ({agent}) is too old for the control plane ({own}): upgrade the agent"
