"""
Sends HTTP requests to addresses that customers choose: identity providers, webhooks.

A name must not lead into the installation's own network (server-side request forgery):
each connection resolves the name, refuses addresses that are not public, and connects to the
address that it checked, so that a second resolution cannot differ (DNS rebinding). Redirects are
not followed, and answers are bounded.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpcore2
import httpx2

MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# What ``ipaddress`` counts as global, at least in older Pythons.
_NOT_PUBLIC = (
    IPv4Network("168.63.129.16/32"),  # Azure's metadata, from inside of its machines
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)
_MAX_TRIED = 4


Networks = Sequence[IPv4Network | IPv6Network]


class ForbiddenAddressError(httpcore2.ConnectError):
    """The name resolves to no public address."""


class ForbiddenError(httpx2.NetworkError):
    """The request leads to no public address; another try does not help."""


def is_public(address: str) -> bool:
    """Return whether an address is on the public Internet, also behind its IPv4 mappings."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False  # site-local, and other forms in which IPv4 addresses can be written
    return (
        parsed.is_global
        and not parsed.is_multicast
        and not any(parsed in each for each in _NOT_PUBLIC)
    )


def is_in(address: str, networks: Networks) -> bool:
    """Return whether an address, also behind its IPv4 mappings, is in one of the networks."""
    parsed = _parse(address)
    return any(parsed in network for network in networks)


def _parse(address: str) -> IPv4Address | IPv6Address:
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif parsed.sixtofour is not None:
            parsed = parsed.sixtofour
        elif parsed in _NAT64:
            parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, *, allow_private: bool, allowed: Networks) -> None:
        self._allow_private = allow_private
        self._allowed = allowed
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, port, type=socket.SOCK_STREAM
                )
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore2.ConnectError("the name does not resolve") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        allowed = [each for each in addresses if self._may_reach(each)]
        if not allowed:
            raise ForbiddenAddressError("the name leads to no public address")
        failure: Exception | None = None
        for address in allowed[:_MAX_TRIED]:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError("no address answers")

    def _may_reach(self, address: str) -> bool:
        return self._allow_private or is_public(address) or is_in(address, self._allowed)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._response.aiter_stream():
            count += len(chunk)
            if count > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


@cache
def _trust(_where: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return the system's trust, shared by all transports: reading its file takes some 25 ms."""
    return ssl.create_default_context()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """
    Transport of requests to customers' addresses; shared, and closed by ``aclose`` only.

    ``allow_private``: the operator's providers are in a private network. ``allowed``: networks
    that may be reached although they are not public.
    """

    def __init__(self, *, allow_private: bool = False, allowed: Networks = ()) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_trust(ssl.get_default_verify_paths()),
            max_connections=200,
            max_keepalive_connections=20,
            keepalive_expiry=30,
            network_backend=_GuardedBackend(allow_private=allow_private, allowed=allowed),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            response = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except ForbiddenAddressError as error:
            raise ForbiddenError(str(error), request=request) from error
        except httpcore2.TimeoutException as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise httpx2.NetworkError(str(error), request=request) from error
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_BoundedStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


TIMEOUT = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
