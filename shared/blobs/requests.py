"""Sends an HTTP request from a worker thread, for the few calls that obstore lacks."""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from urllib.error import HTTPError

_TIMEOUT_SECONDS = 20.0
_MAX_ANSWER_BYTES = 1024 * 1024


class UnansweredError(Exception):
    """The server did not answer; the cause is chained."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # names in lower case

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


async def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    nearby: bool = False,
    timeout: float = _TIMEOUT_SECONDS,  # noqa: ASYNC109 -- a thread cannot be cancelled
) -> Answer:
    """
    Send a request and return the answer, whatever its status.

    ``nearby`` bypasses HTTP proxies, for metadata services of this machine. Bodies are cut
    at 1 MiB. UnansweredError if there is no answer within ``timeout`` seconds.
    """
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310
    return await asyncio.to_thread(_send, request, timeout, nearby=nearby)


def _send(request: urllib.request.Request, timeout: float, *, nearby: bool) -> Answer:
    if request.type not in {"http", "https"}:
        raise UnansweredError(f"{request.type} URLs are not supported; use http or https")
    proxies = urllib.request.ProxyHandler({} if nearby else None)
    try:
        with urllib.request.build_opener(proxies).open(request, timeout=timeout) as answer:
            return _answer(answer.status, answer)
    except HTTPError as error:
        with error:
            return _answer(error.code, error)
    except OSError as error:
        raise UnansweredError(f"{request.host} does not answer: {error}") from error


def _answer(status: int, response: HTTPResponse | HTTPError) -> Answer:
    headers = {name.lower(): text for name, text in response.headers.items()}
    return Answer(status, response.read(_MAX_ANSWER_BYTES), headers)
