"""The parts of the Kubernetes benchmark, run one after the other on the same agent."""

import argparse
import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from benchmarks.dispatch import Bench, flood
from benchmarks.kube.kubelet import Kubelet
from benchmarks.kube.stalls import Watchdog
from benchmarks.kube.world import NAMESPACE, World, pod_spec, running, until
from benchmarks.stack import percentile, table
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import ACTION_LABEL, TASK_ACTION

_WARMING = 50
_WARMING_AT_ONCE, _FLOOD_AT_ONCE = 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The running processes and clients that are measured."""

    world: World
    kube: Kube
    bench: Bench
    kubelet: Kubelet
    watchdog: Watchdog


async def measure(world: World, options: argparse.Namespace) -> None:
    async with running(world) as kube, asyncio.TaskGroup() as tasks:
        idle = world.process.memory_info().rss
        kubelet, ready = Kubelet(kube, NAMESPACE), asyncio.Event()
        bench = Bench(f"127.0.0.1:{world.control.http_port}", child=pod_spec())
        watchdog = Watchdog(bench, kubelet, kube, options.timeout)
        played = tasks.create_task(kubelet.run(ready))
        await ready.wait()
        await bench.begin()
        watching = tasks.create_task(bench.watch())
        await bench.watched.ready.wait()
        guard = tasks.create_task(watchdog.run())
        ground = Ground(world=world, kube=kube, bench=bench, kubelet=kubelet, watchdog=watchdog)
        with table(
            "Kubernetes: pods of a kubelet that answers at once", "measure", "value"
        ) as rows:
            rows.add_row("agent without work, resident MB", f"{idle / 1e6:.0f}")
            watchdog.doing = "warming up"
            await flood(bench, "w", _WARMING, _WARMING_AT_ONCE)
            await _steady(ground, rows, options.rate, int(options.rate * options.seconds))
            await _flood(ground, rows, options.count)
            if options.live:
                await _live(ground, rows, options.live)
                await _rebuild(ground, rows)
            rows.add_row("Lease not renewed in time, by all of them", str(world.terms_lost()))
        for task in (guard, played, watching):
            task.cancel()
        await bench.end()


async def _steady(ground: Ground, rows: Table, per_second: float, count: int) -> None:
    """Enqueue at a constant rate."""
    bench, watched = ground.bench, ground.bench.watched
    ground.watchdog.doing = "at an even pace"
    answered: dict[str, float] = {}

    async def enqueue(name: str) -> None:
        await bench.enqueue(name)
        answered[name] = time.perf_counter()

    before, used = len(watched.ended), ground.world.cpu_seconds()
    began = time.perf_counter()
    epoch = time.time() - began  # the agent's clock is the machine's
    async with asyncio.TaskGroup() as clients:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            clients.create_task(enqueue(f"s{number}"))
    await watched.wait_for(before + count)
    took = time.perf_counter() - began
    accepted = await _accepted(ground)
    rows.add_row(f"at {per_second:g}/s: actions/s that came through", f"{count / took:.0f}")
    for what, instants in (
        ("it was answered", answered),
        ("it was at the agent", {name: at - epoch for name, at in accepted.items()}),
        ("its pod was seen", ground.kubelet.seen),
        ("its end was seen", watched.ended),
    ):
        passed = [instants[f"s{number}"] - watched.sent[f"s{number}"] for number in range(count)]
        for share in (0.5, 0.99):
            name = f"  Enqueue sent until {what}, p{100 * share:.0f} ms"
            rows.add_row(name, f"{1000 * percentile(passed, share):.0f}")
    _add_cpu(rows, used, ground.world.cpu_seconds(), count)


async def _accepted(ground: Ground) -> Mapping[str, float]:
    """Return the times at which the agent accepted assignments, by its clock; since 1970."""
    listing = await ground.kube.list(TASK_ACTION, namespace=NAMESPACE)
    return {
        item["metadata"]["labels"][ACTION_LABEL]: datetime.fromisoformat(
            item["spec"]["acceptedAt"]
        ).timestamp()
        for item in listing.items
    }


async def _flood(ground: Ground, rows: Table, count: int) -> None:
    ground.watchdog.doing = "flood"
    used = ground.world.cpu_seconds()
    took = await flood(ground.bench, "f", count, _FLOOD_AT_ONCE)
    rows.add_row(f"flood: {count} pods through, actions/s", f"{count / took:.0f}")
    _add_cpu(rows, used, ground.world.cpu_seconds(), count)


def _add_cpu(
    rows: Table, before: Mapping[str, float], after: Mapping[str, float], count: int
) -> None:
    for part, seconds in after.items():
        each = 1000 * (seconds - before[part]) / count
        rows.add_row(f"  {part}, CPU ms per action", f"{each:.1f}")


async def _live(ground: Ground, rows: Table, count: int) -> None:
    """Create pods that keep running, and measure the agent with them."""
    kubelet, process = ground.kubelet, ground.world.process
    ground.watchdog.doing = "pods that stay"
    kubelet.finishes, kubelet.running = False, 0
    empty, began = process.memory_info().rss, time.perf_counter()
    await asyncio.gather(*(ground.bench.enqueue(f"l{number}") for number in range(count)))
    await kubelet.wait_for(count)
    took = time.perf_counter() - began
    await asyncio.sleep(2)  # until the agent has observed the last one
    full = process.memory_info().rss
    rows.add_row(f"{count} live pods made, seconds", f"{took:.1f}")
    rows.add_row("  agent, resident MB before", f"{empty / 1e6:.0f}")
    rows.add_row("  agent, resident MB with them", f"{full / 1e6:.0f}")
    rows.add_row("  of that for each pod, KB", f"{(full - empty) / 1e3 / count:.1f}")
    used = process.cpu_times()
    await asyncio.sleep(10)
    idle = process.cpu_times()
    share = 10 * (idle.user + idle.system - used.user - used.system)
    rows.add_row("  agent while nothing happens, % of a core", f"{share:.1f}")


async def _rebuild(ground: Ground, rows: Table) -> None:
    """Kill the agent, start another, and measure its recovery of the cluster's state."""
    world, kubelet = ground.world, ground.kubelet
    ground.watchdog.doing = "beginning anew"
    before = world.connections()
    world.agent.kill()
    began = time.perf_counter()
    world.agent.start()
    await until(lambda: world.connections() > before, "the agent is connected again")
    rows.add_row("  kill -9: rebuilt and connected, seconds", f"{time.perf_counter() - began:.1f}")
    await ground.bench.enqueue("after")
    await until(lambda: "after" in kubelet.seen, "the next pod is made")
    rows.add_row("  until the next pod was made, seconds", f"{time.perf_counter() - began:.1f}")
    times, size = world.process.cpu_times(), world.process.memory_info().rss
    rows.add_row("  agent by then, CPU seconds", f"{times.user + times.system:.1f}")
    rows.add_row("  agent by then, resident MB", f"{size / 1e6:.0f}")
