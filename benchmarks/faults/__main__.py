"""``python -m benchmarks.faults``: runs each part and prints its table; ``--only`` selects one."""

import argparse
import asyncio
import os
import signal
import tempfile
from pathlib import Path
from random import Random

from benchmarks.faults import fairness, idle, kills
from benchmarks.faults.readings import Ground
from tests.servers.postgres import PostgresForTests

_PARTS = ("kills", "delay", "idle", "two orgs", "two runs")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description=__doc__)
    parser.add_argument("--only", choices=_PARTS, action="append")
    parser.add_argument("--minutes", type=float, default=10.0, help="of kills")
    parser.add_argument("--rate", type=float, default=200.0, help="actions/s")
    parser.add_argument("--seed", type=int, default=1, help="of kills")
    parser.add_argument("--agents", type=int, default=1_000, help="that are idle")
    parser.add_argument("--flood", type=int, default=50_000, help="actions that are queued")
    parser.add_argument("--seconds", type=float, default=30.0, help="of every other part")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up on SIGTERM too
    for part in options.only or _PARTS:
        print(f"load average: {os.getloadavg()}")
        with (
            tempfile.TemporaryDirectory(prefix="volary-benchmark-") as home,
            PostgresForTests.running() as server,
            server.migrated() as database,
        ):
            ground = Ground(Path(home) / "world", database, server.superuser_url)
            asyncio.run(_measure(part, ground, options))


async def _measure(part: str, ground: Ground, options: argparse.Namespace) -> None:
    chance = Random(options.seed)  # noqa: S311 -- keeps no secret
    match part:
        case "kills":
            await kills.measure(ground, options.minutes, options.rate, chance)
        case "delay":
            await kills.measure_delay(ground, options.seconds, options.rate, chance)
        case "idle":
            await idle.measure(ground, options.agents, options.seconds)
        case "two orgs":
            await fairness.measure(ground, fairness.APART, options.flood, options.seconds)
        case _:
            await fairness.measure(ground, fairness.TOGETHER, options.flood, options.seconds)


if __name__ == "__main__":
    main()
