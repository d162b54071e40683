"""
Interface between requests and a way to log in: headers and peer in, caller out.

``Anonymous`` is the one there is; logins with tokens and browser sessions implement it too.
"""

from collections.abc import Mapping
from typing import Protocol

from controlplane.core.callers import Caller


class Authenticator(Protocol):
    async def authenticate(self, headers: Mapping[str, str], peer: str | None) -> Caller:
        """
        Return the caller of a request.

        ``headers`` find values by lower-case name; ``peer`` is the client's "address:port",
        None if the server does not know it. UnauthenticatedError: no valid credential.
        """
