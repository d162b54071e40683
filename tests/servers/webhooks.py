"""A receiver of webhooks: a real HTTP server that records requests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.servers.http import serving


@dataclass(slots=True)
class Receiver:
    """A server that answers with the statuses of ``answers``, and 200 after them."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sent_headers: list[Mapping[str, str]] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        self.bodies.append((await request.body()).decode())
        self.keys.append(request.headers.get("idempotency-key", ""))
        self.servers.append(request.scope["server"][0])
        self.paths.append(request.url.path)
        self.sent_headers.append(request.headers)
        self.asked.set()
        await self.may_answer.wait()
        return Response(
            status_code=self.answers.pop(0) if self.answers else 200, headers=dict(self.headers)
        )


@asynccontextmanager
async def receiving(
    *answers: int, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers), headers=headers or {})
    receiver.may_answer.set()
    routes = [Route("/{path:path}", receiver.answer, methods=["GET", "POST"])]
    async with serving(Starlette(routes=routes)) as address:
        receiver.url = f"{address}/hook"
        yield receiver
