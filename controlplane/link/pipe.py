"""The stream that a session reads and writes, and the error that ends a session."""

from typing import Protocol

from shared.idl.agent.v1 import link_pb2


class Pipe(Protocol):
    """The part of gRPC's stream that a session uses; None is its end."""

    async def read(self) -> link_pb2.AgentFrame | None: ...
    async def write(self, frame: link_pb2.ControlFrame) -> None: ...


class SessionOverError(Exception):
    """The session ends; ``code`` and the text are sent to the agent."""

    def __init__(self, code: str, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry
