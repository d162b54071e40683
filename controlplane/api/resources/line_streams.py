"""Writes the answers of a streaming RPC as lines of JSON, as they come."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectrpc.errors import ConnectError
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from controlplane.api.streams import closing

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_HEADERS = ((b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store"))


class _ClientLeftError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class LineStream:
    """
    A stream of which the ``first`` answer is there: each message at ``path`` of an answer is a line.

    An answer without one is an empty line, and an error is the last line.
    """

    first: Message | None
    messages: AsyncIterator[Message]
    path: str
    headers: Sequence[tuple[bytes, bytes]]

    async def send(self, receive: Receive, send: Send) -> None:
        """Send all lines, until the stream ends or the client leaves."""
        try:
            async with closing(self.messages), asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(_watch(receive), name="resource-client-watch")
                head = {"type": "http.response.start", "status": 200}
                await send({**head, "headers": [*_HEADERS, *self.headers]})
                async for chunk in self._chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                watching.cancel()
        except* _ClientLeftError:
            pass

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self.first is None:
            return
        yield self._render(self.first)
        try:
            async for message in self.messages:
                yield self._render(message)
        except ConnectError as error:
            yield json.dumps({"code": error.code.value, "message": error.message}).encode() + b"\n"

    def _render(self, message: Message) -> bytes:
        found = _find([message], self.path.split("."))
        lines = [MessageToJson(each, indent=None).encode() for each in found]
        return b"".join(line + b"\n" for line in lines or [b""])


def _find(messages: list[Any], path: Sequence[str]) -> Iterator[Any]:
    for name in path:
        messages = [each for message in messages for each in getattr(message, name)]
    yield from messages


async def _watch(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _ClientLeftError
