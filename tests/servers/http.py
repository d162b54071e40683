"""An ASGI application on a real socket, for the length of a block."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from controlplane.web.serving import StoppableServer


@asynccontextmanager
async def serving(
    application: ASGIApp, *, certificate: Path | None = None, key: Path | None = None
) -> AsyncIterator[str]:
    """Serve on a free port of loopback; give the address, ``http(s)://127.0.0.1:…``."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = StoppableServer(
            uvicorn.Config(
                application,
                lifespan="off",
                log_level="warning",
                ws="none",
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        listening.listen(100)  # from here on a client is kept waiting, not turned away
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listening]))
            try:
                yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
            finally:
                server.stop()
