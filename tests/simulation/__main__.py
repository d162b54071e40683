"""Command line of the simulation: runs schedules for a time and prints failing seeds."""

import argparse
import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.schedule import AckStatus, run

_CHUNK = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay one schedule, and tell all of it")
    parser.add_argument("--first", type=int, help="the first seed of many; any, if not given")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to go on")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.seed is not None:
        sys.exit(_replay(options.seed))
    first = secrets.randbelow(2**31) if options.first is None else options.first
    sys.exit(_explore(first, 60 * options.minutes, options.processes))


def _replay(seed: int) -> bool:
    status = run(seed)
    print("\n".join(status.trace))  # noqa: T201
    print("\n".join(status.broken) or "every invariant held")  # noqa: T201
    return bool(status.broken)


def _explore(first: int, seconds: float, processes: int) -> bool:
    began = time.monotonic()
    decisions: list[AckStatus] = []
    with ProcessPoolExecutor(processes) as pool:
        while time.monotonic() - began < seconds:
            seeds = range(first + len(decisions), first + len(decisions) + _CHUNK * processes)
            for status in pool.map(_run_silently, seeds, chunksize=_CHUNK // 4):
                decisions.append(status)
                if status.broken:
                    print(f"seed {status.seed}: {status.broken[0][:300]}", flush=True)  # noqa: T201
    took = time.monotonic() - began
    broken = sum(bool(status.broken) for status in decisions)
    hours = sum(status.seconds for status in decisions) / 3600
    steps = sum(status.steps for status in decisions) / 1e6
    print(  # noqa: T201
        f"{len(decisions)} schedules from seed {first} on, {broken} of them broken: "
        f"{60 * len(decisions) / took:.0f} a minute, {hours:.1f} virtual hours, "
        f"{steps:.1f} million steps"
    )
    return broken > 0


def _run_silently(seed: int) -> AckStatus:
    status = run(seed)
    status.trace.clear()
    return status


if __name__ == "__main__":
    main()
