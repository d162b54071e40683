"""
HTTPS server of the API proxy: TLS, routes, graceful shutdown.

``/package.Service/Method`` is forwarded, ``/copilot/…`` goes to the signer. ``/fence`` answers
the kubelet's probe with 200 while replaceable attempts may continue; ``/healthz`` while the
event loop runs, ``/readyz`` while calls are accepted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from dataplane.agent.core.pod_identity import COPILOT_PATH, FENCE_PATH
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.authority import Authority
from dataplane.agent.proxy.connection import listen_by_tls
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.forwarding import Proxy
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.signer import Signer
from shared.kit.connections import Connections

logger = logging.getLogger(__name__)


class ApiProxy:
    def __init__(
        self,
        *,
        listen: str,
        authority: Authority,
        proxy: Proxy,
        signer: Signer,
        is_fresh: Callable[[], bool],
        counts: Counts,
    ) -> None:
        """
        ``listen`` is ``host:port``; ``is_fresh``: whether the last acknowledged heartbeat is
        recent.
        """
        self._listen = listen
        self.authority = authority
        self.counts = counts
        self._proxy = proxy
        self._signer = signer
        self._is_fresh = is_fresh
        self._ending = False
        self.started = asyncio.Event()
        self.port = 0  # set once started
        self.connections = Connections(
            "proxy",
            most=proxy_limits.CONNECTIONS,
            most_per_address=proxy_limits.CONNECTIONS_OF_ADDRESS,
        )

    async def run(self) -> None:
        """Serve until cancelled; then let calls finish, and send streams to other replicas."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handler_cancellation=True,  # a pod that disconnects frees its slots and buffers
            shutdown_timeout=proxy_limits.STOP_WITHIN.total_seconds(),
        )
        await runner.setup()
        listener, self.port = listen_by_tls(
            runner, self._listen, self.connections, self.authority.context
        )
        try:
            self.started.set()
            logger.info("proxy listening", extra={"listen": self._listen, "port": self.port})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.authority.run(), name="proxy certificate")
                tasks.create_task(self.connections.run(), name="proxy connections")
                tasks.create_task(listener.run(), name="proxy handshakes")
        finally:
            self._ending = True
            self.connections.close()
            self._proxy.end_streams()
            await runner.cleanup()
            await self.connections.drain(proxy_limits.CLOSE_WITHIN.total_seconds())

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=proxy_limits.REQUEST_BYTES, middlewares=[_answer_always]
        )
        application.router.add_get(FENCE_PATH, self._fence)
        application.router.add_get("/healthz", _well)
        application.router.add_get("/readyz", self._ready)
        application.router.add_post(f"{COPILOT_PATH}/{{verb}}", self._signer.answer)
        application.router.add_post("/{service}/{method}", self._proxy.answer)
        return application

    async def _fence(self, _: web.Request) -> web.Response:
        if self._is_fresh():
            return web.Response(text="the control plane is connected\n")
        return web.Response(
            status=503,
            text="disconnected from the control plane: this attempt may be restarted elsewhere\n",
        )

    async def _ready(self, _: web.Request) -> web.Response:
        if self._ending:
            return web.Response(status=503, text="stopping\n")
        return web.Response(text="ready\n")


async def _well(_: web.Request) -> web.Response:
    return web.Response(text="well\n")


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


@web.middleware
async def _answer_always(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer unexpected errors in the clients' protocol, without internal details."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and _is_gone(request):
            raise  # nobody reads an answer
        if request.writer.output_size > 0:
            raise  # part of the response is sent: close the connection
        logger.exception("proxy call failed", extra={"path": request.path})
        # Not INTERNAL: the SDK takes that for the end of a stream it follows.
        refusal = PodCallRefusedError(
            Code.UNAVAILABLE, "the agent's API proxy failed; see the agent's log"
        )
        return web.Response(
            status=refusal.code.status, body=refusal.as_body(), content_type="application/json"
        )
