"""
Authenticates the agent of a call: by its client certificate or, without TLS, by a shared token.

Where agents have certificates no token is taken: a copy of it could be used from anywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controlplane.authn.agent_authority import fingerprint_of_pem
from controlplane.core.errors import UnauthenticatedError
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.agents.identities import AgentIdentity

_BEARER = "Bearer "
_NO_CERTIFICATE = (
    "the call has no client certificate; an agent gets one with a join token "
    "(`volary cluster join-token`)"
)


async def authenticate(
    sessions: AgentSessions, context: Any, *, opens_session: bool = False
) -> AgentIdentity:
    """
    Return whose call this is; UnauthenticatedError, UnavailableError.

    ``context``: of a gRPC call. ``opens_session``: a retired certificate is returned, too.
    """
    if not sessions.takes_certificates:
        token = read_bearer(context.invocation_metadata() or ())
        return AgentIdentity(cluster=await sessions.authenticate(token))
    properties: Mapping[str, Sequence[bytes]] = context.auth_context() or {}
    pem = next(iter(properties.get("x509_pem_cert", ())), b"")
    fingerprint = fingerprint_of_pem(bytes(pem))
    if fingerprint is None:
        raise UnauthenticatedError(_NO_CERTIFICATE)
    return await sessions.identify(fingerprint, opens_session=opens_session)


def read_bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token of a call's metadata, "" if there is none."""
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return value.removeprefix(_BEARER)
    return ""


def read_peer(context: Any) -> str:
    """Return the address of a call's peer, without its port."""
    family, _, rest = str(context.peer()).partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    host = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "")
    return host.strip("[]")
