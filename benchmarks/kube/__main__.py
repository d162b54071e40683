"""``python -m benchmarks.kube``."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

import benchmarks.kube
from benchmarks.kube.measures import measure
from benchmarks.kube.world import servers


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.kube", description=benchmarks.kube.__doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="actions/s of the steady pace")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady pace")
    parser.add_argument("--count", type=int, default=1000, help="actions of the flood")
    parser.add_argument("--live", type=int, default=2000, help="pods that stay; 0: none")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds without progress")
    parser.add_argument("--profile", type=Path, help="of the agent, for pstats; slows it down")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up on SIGTERM too
    print(f"load of the machine: {os.getloadavg()}")
    with servers(options.profile) as world:
        asyncio.run(measure(world, options))


if __name__ == "__main__":
    main()
