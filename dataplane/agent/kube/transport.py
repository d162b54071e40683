"""
HTTP connections to one API server, with JSON requests and responses.

Importing this module is slow; only :meth:`Kube.open` does.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.access import Access, find_access
from dataplane.agent.kube.errors import KubeError, UnreachableError, parse_status
from dataplane.agent.kube.requests import Request


class Transport:
    """HTTP client of one API server; create it with :meth:`open`."""

    def __init__(self, access: Access, session: aiohttp.ClientSession) -> None:
        self._access = access
        self._session = session
        self._under_way = asyncio.Semaphore(client_limits.CALLS_AT_ONCE)
        self.requests: Counter[tuple[str, str, int]] = Counter()
        # Until the heads of the answers came: how many, and their sum.
        self.seconds: defaultdict[tuple[str, str], tuple[int, float]] = defaultdict(
            lambda: (0, 0.0)
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, kubeconfig: Path | None) -> AsyncIterator[Self]:
        access = await find_access(kubeconfig)
        # The session does not read proxies from the environment: it would do so in two threads,
        # at each request. The number of connections is limited by CALLS_AT_ONCE and the callers.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "volary-agent"},
            proxy=access.proxy,
            read_bufsize=client_limits.READ_BYTES,
        ) as session:
            yield cls(access, session)

    async def request_json(self, request: Request, *, at_most: timedelta) -> dict[str, Any]:
        """Return the response's JSON; KubeError if there is none."""
        return (await self.request_dated(request, at_most=at_most))[0]

    async def request_dated(
        self, request: Request, *, at_most: timedelta
    ) -> tuple[dict[str, Any], datetime | None]:
        """Return the response's JSON and its Date header, which is to the second."""
        waiting = aiohttp.ClientTimeout(
            total=at_most.total_seconds(),
            sock_connect=client_limits.CONNECT_TIMEOUT.total_seconds(),
        )
        async with self._under_way, self._answered(request, waiting) as answer:
            body = await _read(answer, client_limits.ANSWER_BYTES)
            try:
                return dict(json.loads(body)), _date(answer.headers.get("Date", ""))
            except ValueError as error:
                raise KubeError(answer.status, "BadAnswer", "the answer is not JSON") from error

    @asynccontextmanager
    async def stream(
        self, request: Request, *, silence: timedelta | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the response's bytes as they arrive; UnreachableError after ``silence``."""
        waiting = aiohttp.ClientTimeout(
            sock_connect=client_limits.CONNECT_TIMEOUT.total_seconds(),
            sock_read=None if silence is None else silence.total_seconds(),
        )
        async with self._answered(request, waiting) as answer:
            yield answer.content.iter_any()

    @asynccontextmanager
    async def _answered(
        self, request: Request, waiting: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        counted = (request.verb, request.resource)
        answer: aiohttp.ClientResponse | None = None
        begun = perf_counter()
        try:
            answer = await self._session.request(
                request.method,
                self._url(request),
                headers=await self._headers(request),
                data=None if request.body is None else json.dumps(request.body).encode(),
                timeout=waiting,
                ssl=self._access.tls(),  # after the credentials, which may have read it again
                server_hostname=self._access.server_name,
            )
            self.requests[*counted, answer.status] += 1
            count, total = self.seconds[counted]
            self.seconds[counted] = count + 1, total + perf_counter() - begun
            if answer.status >= 400:
                raise await _error_of(answer)
            yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if answer is None:
                self.requests[*counted, 0] += 1
            text = str(error) or type(error).__name__
            raise UnreachableError(
                f"{request.verb} {request.resource}: no answer from the API server: {text}"
            ) from error
        finally:
            if answer is not None:
                _close(answer)

    def _url(self, request: Request) -> URL:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return URL(f"{self._access.address}{request.path}{query}", encoded=True)

    async def _headers(self, request: Request) -> dict[str, str]:
        return {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            **await self._access.credentials(),
        }


def _close(answer: aiohttp.ClientResponse) -> None:
    """
    Return the connection to the pool, or abort it if the response was not read to its end.

    A graceful TLS shutdown of a watch would wait for a server that may be dead, with a
    connection that has no owner any more and outlives the client.
    """
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.release()


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


async def _read(answer: aiohttp.ClientResponse, at_most: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > at_most:
            answer.close()
            raise KubeError(answer.status, "TooLarge", f"the answer exceeds {at_most} bytes")
    return bytes(body)


async def _error_of(answer: aiohttp.ClientResponse) -> KubeError:
    text = (await _read(answer, client_limits.ERROR_BYTES)).decode(errors="replace")
    try:
        status = dict(json.loads(text))
    except ValueError:
        status = {"message": text.strip()[:1000]}
    status["code"] = answer.status  # a proxy's response has none, an aggregated server's may differ
    return parse_status(status, retry_after=answer.headers.get("Retry-After", ""))
