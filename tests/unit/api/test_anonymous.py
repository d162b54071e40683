"""Without logins, this machine may do everything, and others nothing."""

import pytest

from controlplane.authn.anonymous import Anonymous
from controlplane.core.callers import EVERYTHING, org_wide
from controlplane.core.errors import UnauthenticatedError
from shared.model.ids import OrgName

AUTHN = Anonymous(OrgName("acme"))


@pytest.mark.parametrize("peer", ["127.0.0.1:1234", "127.8.9.1:80", "::1:80", "[::1]:80", None])
async def test_anonymous_loopback_peer_has_all_permissions(peer: str | None) -> None:
    caller = await AUTHN.authenticate({}, peer)
    assert (caller.org, caller.grants) == ("acme", org_wide(EVERYTHING))


@pytest.mark.parametrize("peer", ["10.0.0.1:80", "2001:db8::1:80", "nonsense", "", "evil.com:1"])
async def test_anonymous_refuses_other_machines(peer: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await AUTHN.authenticate({}, peer)
