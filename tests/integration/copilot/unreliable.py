"""A store that does wrong what a test has planned, and is itself between that."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Refuse:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "as planned"


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Flip the last bit of an answer, and say the MD5 that it had."""

    md5: str  # base64


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Close the connection in the middle of an answer."""


Plan = Refuse | Corrupt | BreakOff | None


class Unreliable:
    """Each request takes the next plan, None is for one that goes well; held while ``gate`` is."""

    def __init__(self, store: ASGIApp) -> None:
        self._store = store
        self.plans: deque[Plan] = deque()
        self.gate: asyncio.Event | None = None
        self.began = asyncio.Event()
        self.requests: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append(f"{scope['method']} {scope['path']}")
        self.began.set()
        if self.gate is not None:
            await self.gate.wait()
        match self.plans.popleft() if self.plans else None:
            case Refuse(status, headers, body):
                answer = PlainTextResponse(body, status_code=status, headers=headers)
                await answer(scope, receive, send)
            case Corrupt(md5):
                await self._store(scope, receive, _Altered(send, md5=md5))
            case BreakOff():
                await self._store(scope, receive, _Altered(send, whole=False))
            case None:
                await self._store(scope, receive, send)


class _Altered:
    def __init__(self, send: Send, *, whole: bool = True, md5: str = "") -> None:
        self._send = send
        self._md5 = md5
        self._whole = whole

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        if self._md5 and message["type"] == "http.response.start":
            output = (b"content-md5", self._md5.encode())
            message = {**message, "headers": [*message["headers"], output]}
        if body and not self._whole:
            await self._send({**message, "body": body[: len(body) // 2], "more_body": True})
            raise ConnectionAbortedError("as planned")
        if body:
            message = {**message, "body": body[:-1] + bytes([body[-1] ^ 1])}
        await self._send(message)
