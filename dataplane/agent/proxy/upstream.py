"""
Send authorized calls to the control plane's API.

A call is forwarded byte for byte, compressed as it was, but for its headers: few are passed on,
the pod's token never; the credential of the caller's attempt is added.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from google.protobuf.message import DecodeError, Message

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.sockets import open_keepalive_socket
from shared.kit.trust_file import TrustFile

Credential = Callable[[Caller], Awaitable[Mapping[str, str]]]
"""
Returns the headers that authenticate a caller to the control plane, current at each call.

Raises PodCallRefusedError if the control plane does not accept the caller's attempt (any more).
"""

_PASSED = frozenset(
    {
        "accept-encoding",
        "connect-accept-encoding",
        "connect-content-encoding",
        "connect-protocol-version",
        "connect-timeout-ms",
        "content-encoding",
        "content-type",
        "traceparent",
        "user-agent",
        "x-request-id",
    }
)
_PASSED_FAMILY = "x-actions-"  # the action's location, for routing proxies
_KEPT_BACK = frozenset(
    {
        "connection",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    }
)
_UNREACHABLE = (
    "the agent cannot reach the control plane at present; running tasks continue, try again"
)
_M = TypeVar("_M", bound=Message)


class Upstream:
    """Client of the control plane's API, created by :meth:`open`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        credential: Credential,
        trust: TrustFile | None = None,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._credential = credential
        self._trust = trust

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, credential: Credential, *, trust: TrustFile | None = None
    ) -> AsyncIterator["Upstream"]:
        """Open a session; ``url`` is the control plane's; ``trust``: None for the system's."""
        connector = aiohttp.TCPConnector(
            limit=0,  # every pod has its own limits; a shared one could be used up by one pod
            keepalive_timeout=proxy_limits.IDLE_CONNECTION.total_seconds(),
            socket_factory=open_keepalive_socket,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Only the caller may announce that it accepts a compressed answer.
            skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent"],
        )
        async with session:
            yield cls(session, url, credential, trust)

    @asynccontextmanager
    async def send(
        self,
        rpc: str,
        body: bytes,
        caller: Caller,
        *,
        headers: Mapping[str, str],
        within: float | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Send a call of ``caller``; PodCallRefusedError if no response begins.

        ``within``: seconds for the whole of it.
        """
        credential = await self._credential(caller)
        timeout = aiohttp.ClientTimeout(
            total=within, sock_connect=proxy_limits.CONNECT_WITHIN.total_seconds()
        )
        try:
            answer = await self._session.post(
                f"{self._url}/{rpc}",
                data=body,
                headers={**headers, **credential},
                timeout=timeout,
                allow_redirects=False,
                # For each call, so that it is the current one; connections of the one before are
                # not used any more.
                ssl=True if self._trust is None else self._trust.context,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PodCallRefusedError(Code.UNAVAILABLE, _UNREACHABLE) from error
        async with answer:
            yield answer

    async def ask(
        self, rpc: str, request_message: Message, answer: type[_M], caller: Caller
    ) -> _M | None:
        """Send a request of the agent's own on behalf of ``caller``; None if the answer is no."""
        headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
        sending = self.send(
            rpc,
            request_message.SerializeToString(),
            caller,
            headers=headers,
            within=proxy_limits.CALL_WITHIN.total_seconds(),
        )
        try:
            async with sending as fields:
                body = await fields.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PodCallRefusedError(Code.UNAVAILABLE, _UNREACHABLE) from error
        if fields.status >= 500:
            raise PodCallRefusedError(Code.UNAVAILABLE, _UNREACHABLE)
        if fields.status != 200:
            return None
        try:
            return answer.FromString(body)
        except DecodeError as error:
            raise PodCallRefusedError(Code.UNAVAILABLE, _UNREACHABLE) from error


def passed_on(came: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the request headers to forward, each once, with lower-case names."""
    passed: dict[str, str] = {}
    for name, value in came:
        if name.lower() in _PASSED or name.lower().startswith(_PASSED_FAMILY):
            passed.setdefault(name.lower(), value)
    return passed


def introduce(caller: Caller, peer: str) -> dict[str, str]:
    """Return headers about the caller, for logs of what is between; no decision rests on them."""
    return {
        "x-forwarded-for": peer,
        "x-volary-action": str(caller.action),
        "x-volary-attempt": str(caller.attempt),
    }


def passed_back(came: Mapping[str, str]) -> dict[str, str]:
    """Return the response headers to pass back."""
    return {name: value for name, value in came.items() if name.lower() not in _KEPT_BACK}
