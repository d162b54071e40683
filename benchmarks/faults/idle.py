"""Measures many idle agents on one control-plane process: memory, CPU, time to reconnect."""

import asyncio
import hashlib
import secrets
import signal
import sys
import time

from benchmarks.faults.readings import Ground, cpu_seconds, memory_bytes
from benchmarks.stack import table
from controlplane.store.resources.clusters import save_cluster
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from tests.faults.world import ORG, Program, Shape, World
from tests.running import until

_SHAPE = Shape(replicas=(ORG,), agents=((ORG, "local"),), timings={})
_SESSIONS = "volary_link_sessions"
_WITHIN_SECONDS = 300


async def measure(ground: Ground, count: int, seconds: float) -> None:
    async with ground.world(_SHAPE) as world:
        [replica], taken = world.replicas, {}
        taken["resident MB alone"] = memory_bytes(replica.program) / 1e6
        crowd = await _gather(world, count)
        try:
            began = time.monotonic()
            await crowd.start()
            await _all_here(world, count)
            taken["s until all were here"] = time.monotonic() - began
            before, crowd_before = cpu_seconds(replica.program), cpu_seconds(crowd)
            await asyncio.sleep(seconds)
            used = cpu_seconds(replica.program) - before
            taken["resident MB with them"] = memory_bytes(replica.program) / 1e6
            taken["% of a core for them"] = 100 * used / seconds
            taken["% of a core of the crowd itself"] = (
                100 * (cpu_seconds(crowd) - crowd_before) / seconds
            )
            replica.program.send(signal.SIGKILL)
            killed = time.monotonic()
            await until(lambda: _has_begun_again(world), "it starts again", at_most=_WITHIN_SECONDS)
            await world.until_ready(replica)
            taken["s from the kill until it serves again"] = time.monotonic() - killed
            ready = time.monotonic()
            await _all_here(world, count)
            taken["s from then until all are back"] = time.monotonic() - ready
        finally:
            await crowd.end(signal.SIGKILL)
    with table(f"{count} idle agents on one control-plane process", "measure", "value") as it:
        for what, value in taken.items():
            it.add_row(what, f"{value:.1f}")


async def _gather(world: World, count: int) -> Program:
    """Create ``count`` clusters, and the process that runs an idle agent for each."""
    tokens = world.home / "tokens"
    tokens.mkdir()
    now = SystemClock().now()
    async with world.store.for_org(ORG) as tx:
        for number in range(count):
            token = secrets.token_hex(16)
            (tokens / f"{number:05}").write_text(token)
            digest = hashlib.sha256(token.encode()).digest()
            await save_cluster(tx, ClusterName(f"idle-{number}"), digest, now)
    address = f"127.0.0.1:{world.replicas[0].link_port}"
    command = [sys.executable, "-m", "benchmarks.faults.crowd", address, str(tokens)]
    return Program("crowd", command, {}, world.home)


async def _all_here(world: World, count: int) -> None:
    async def here() -> bool:
        return await world.replicas[0].counted(_SESSIONS) > count  # one more: the world's own agent

    await until(here, f"{count} agents are here", at_most=_WITHIN_SECONDS)


async def _has_begun_again(world: World) -> bool:
    return world.replicas[0].program.lives > 1
