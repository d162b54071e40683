"""Services that every agent runs, whatever its runtime: link, attempts, fence, log followers."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta

from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import Credential
from dataplane.agent.link.connection import Connection
from dataplane.agent.link.identity import Identity
from dataplane.agent.link.renewal import Renewal
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence, Fenced
from dataplane.agent.loops.findings import Check, FindingsLoop
from dataplane.agent.loops.log_followers import Followed, LogFollowers
from dataplane.agent.loops.session_handler import AgentSessionHandler
from dataplane.agent.runtimes.runtime_selection import Runtimes
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.traces.opening import make_recorder


async def run_services(
    settings: Settings,
    clock: Clock,
    *,
    credential: Credential,
    ledger: Ledger,
    runtimes: Runtimes,
    check: Check,
    slots: int,
    logs: Followed,
    fenced: Fenced,
    free_memory: Callable[[], int],
    secrets_key: bytes = b"",
    take_along: timedelta | None = None,
    also: Mapping[str, Callable[[], Coroutine[None, None, None]]] | None = None,
) -> None:
    """
    Run until cancelled, or until the first service fails.

    ``slots``: concurrent attempts. ``free_memory``: bytes available for attempts.
    ``secrets_key``: public key, to which the control plane seals secrets.
    ``take_along``: stop attempts when the agent ends, within this time. ``check``: what
    the agent depends on, for the control plane. ``also``: services of the runtimes, by name.
    """
    wakeup = Wakeup()
    spans = make_recorder(settings.traces.endpoint, service="volary-agent")
    attempts = Attempts(ledger, runtimes, wakeup, clock, take_along=take_along, spans=spans)
    followers = LogFollowers(logs, wakeup)
    fence = Fence(ledger, attempts, fenced, clock, grace=settings.grace)
    findings = FindingsLoop(check, wakeup, clock)
    handler = AgentSessionHandler(
        ledger=ledger,
        attempts=attempts,
        followers=followers,
        fence=fence,
        wakeup=wakeup,
        slots=slots,
        free_memory=free_memory,
        clock=clock,
        findings=findings,
    )
    connection = Connection(
        addresses=settings.control_plane,
        token=credential,
        ca_file=settings.ca_file,
        capabilities=runtimes.list_capabilities,
        ledger=ledger,
        handler=handler,
        clock=clock,
        secrets_key=secrets_key,
        renewal=Renewal(credential, clock) if isinstance(credential, Identity) else None,
    )
    try:
        async with asyncio.TaskGroup() as services:
            for name, run in (also or {}).items():
                services.create_task(run(), name=name)
            services.create_task(attempts.run(), name="attempts")
            services.create_task(followers.run(), name="followers")
            services.create_task(fence.run(), name="fence")
            services.create_task(connection.run(), name="connection")
            services.create_task(findings.run(), name="findings")
    finally:
        await spans.close()
