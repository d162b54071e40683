"""
Connections to one API server and the credentials for them, as the library makes them.

Its typed models are not used: what goes out and comes in is JSON. This module costs a second
to import; only :meth:`Kube.open` does.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dataplane.agent.kube import limits
from dataplane.agent.kube.errors import KubeError, NoAccessError, UnreachableError, parse_status
from dataplane.agent.kube.requests import Request


class _Refreshing:
    """Asks for a token again in time, where a program or a file gives it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._read_at = asyncio.get_running_loop().time()

    async def __call__(self, configuration: Configuration) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= limits.TOKEN_READ_EVERY.total_seconds():
            self._read_at = now
            await self._loader.load_and_set(configuration)


class Transport:
    """Made by :meth:`open`."""

    def __init__(self, configuration: Configuration, rest: RESTClientObject) -> None:
        self._configuration = configuration
        self._rest = rest
        self._under_way = asyncio.Semaphore(limits.CALLS_AT_ONCE)
        self.requests: Counter[tuple[str, str, int]] = Counter()

    @classmethod
    @asynccontextmanager
    async def open(cls, kubeconfig: Path | None) -> AsyncIterator[Self]:
        configuration = Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                loader = await config.load_kube_config(
                    str(kubeconfig), client_configuration=configuration, persist_config=False
                )
                configuration.refresh_api_key_hook = _Refreshing(loader)
        except config.ConfigException as error:
            where = "this is no pod of a cluster" if kubeconfig is None else f"{kubeconfig}"
            raise NoAccessError(f"{where}: {error}; give a kubeconfig") from error
        configuration.connection_pool_maxsize = None  # bounded here, by kind of call
        rest = RESTClientObject(configuration)
        try:
            yield cls(configuration, rest)
        finally:
            await rest.close()

    async def ask(self, request: Request, *, at_most: timedelta) -> dict[str, Any]:
        """Return the answer's JSON; KubeError if there is none."""
        return (await self.ask_dated(request, at_most=at_most))[0]

    async def ask_dated(
        self, request: Request, *, at_most: timedelta
    ) -> tuple[dict[str, Any], datetime | None]:
        """Return the answer's JSON, and when the server says it answered, to the second."""
        waiting = aiohttp.ClientTimeout(
            total=at_most.total_seconds(), sock_connect=limits.CONNECT_TIMEOUT.total_seconds()
        )
        async with self._under_way, self._answered(request, waiting) as answer:
            body = await _read(answer, limits.ANSWER_BYTES)
            try:
                return dict(json.loads(body)), _date(answer.headers.get("Date", ""))
            except ValueError as error:
                raise KubeError(answer.status, "BadAnswer", "the answer is not JSON") from error

    @asynccontextmanager
    async def stream(
        self, request: Request, *, silence: timedelta | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the answer's bytes as they come; UnreachableError if none do for ``silence``."""
        waiting = aiohttp.ClientTimeout(
            sock_connect=limits.CONNECT_TIMEOUT.total_seconds(),
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
        try:
            answer = await self._rest.request(
                request.method,
                f"{self._configuration.host}{request.path}",
                query_params=request.query,
                headers=await self._headers(request),
                body=request.body,
                _preload_content=False,
                _request_timeout=waiting,
            )
            self.requests[*counted, answer.status] += 1
            if answer.status >= 400:
                raise await _refusal(answer)
            yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if answer is None:
                self.requests[*counted, 0] += 1
            said = str(error) or type(error).__name__
            raise UnreachableError(
                f"{request.verb} {request.resource}: no answer from the API server: {said}"
            ) from error
        finally:
            if answer is not None:
                answer.release()  # closes what was not read to its end

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": "volary-agent",
        }
        try:
            settings = await self._configuration.auth_settings()
        except config.ConfigException as error:  # its file is being replaced
            raise UnreachableError(f"the credentials cannot be read: {error}") from error
        for setting in settings.values():
            headers[setting["key"]] = setting["value"]
        return headers


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


async def _refusal(answer: aiohttp.ClientResponse) -> KubeError:
    text = (await _read(answer, limits.ERROR_BYTES)).decode(errors="replace")
    try:
        status = dict(json.loads(text))
    except ValueError:
        status = {"message": text.strip()[:1000]}
    status["code"] = answer.status  # a proxy's answer has none, an aggregated server's another
    return parse_status(status, retry_after=answer.headers.get("Retry-After", ""))
