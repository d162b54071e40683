"""One HTTP request in a thread of its own: for the few that obstore does not make for us."""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from urllib.error import HTTPError

_TIMEOUT_SECONDS = 20.0
_MAX_ANSWER_BYTES = 1024 * 1024


class UnansweredError(Exception):
    """Nobody answered; the cause is chained."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # by names in small letters

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
    timeout: float = _TIMEOUT_SECONDS,  # noqa: ASYNC109 -- the thread has to keep it
) -> Answer:
    """Ask; ``nearby`` is what no proxy leads to, the machine's own services."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310
    return await asyncio.to_thread(_send, request, timeout, nearby=nearby)


def _send(request: urllib.request.Request, timeout: float, *, nearby: bool) -> Answer:
    if request.type not in {"http", "https"}:
        raise UnansweredError(f"{request.type} is not spoken here")
    proxies = urllib.request.ProxyHandler({} if nearby else None)
    try:
        with urllib.request.build_opener(proxies).open(request, timeout=timeout) as answer:
            return _answer(answer.status, answer)
    except HTTPError as refusal:
        with refusal:
            return _answer(refusal.code, refusal)
    except OSError as error:
        raise UnansweredError(f"{request.host} does not answer: {error}") from error


def _answer(status: int, response: HTTPResponse | HTTPError) -> Answer:
    headers = {name.lower(): text for name, text in response.headers.items()}
    return Answer(status, response.read(_MAX_ANSWER_BYTES), headers)
