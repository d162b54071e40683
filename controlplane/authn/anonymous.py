"""
Anonymous mode: every caller from this machine gets all permissions in one org.

For the embedded default only. The SDK sends no credential at all over plaintext, so the
only check is that the peer is this machine.
"""

from collections.abc import Mapping
from ipaddress import ip_address

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import UnauthenticatedError
from shared.model.ids import OrgName

SUBJECT = Subject("anonymous")


class Anonymous:
    """Authenticates every loopback peer as the same caller."""

    def __init__(self, org: OrgName, *, name: str = "Anonymous") -> None:
        self._caller = Caller(subject=SUBJECT, org=org, name=name, grants=org_wide(EVERYTHING))

    async def authenticate(self, _headers: Mapping[str, str], peer: str | None) -> Caller:
        """Return the caller of ``peer``, an "address:port"; UnauthenticatedError elsewhere."""
        if peer is not None and not _is_this_machine(peer):
            raise UnauthenticatedError(
                "this control plane has no logins and accepts calls from its own machine only"
            )
        return self._caller


def _is_this_machine(peer: str) -> bool:
    host = peer.rpartition(":")[0].strip("[]")
    if host == "127.0.0.1":  # the usual case, without parsing
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
