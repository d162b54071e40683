"""``python -m tests.faults``: runs a fault storm for some minutes and prints its result."""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.faults.kinds import KINDS, Kind
from tests.faults.load import Pace
from tests.faults.storm import Reckoning, storm
from tests.faults.world import running
from tests.servers.postgres import DatabaseForTest, PostgresForTests


def main() -> None:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--kind", action="append", help="of fault, and no others; repeatable")
    parser.add_argument("--keep", type=Path, help="where all that was said is kept")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up on SIGTERM too
    print(f"seed {options.seed}", flush=True)  # noqa: T201
    with (
        tempfile.TemporaryDirectory(prefix="volary-faults-") as home,
        PostgresForTests.running() as server,
        server.migrated() as database,
    ):
        place = (options.keep or Path(home)) / "world"
        reckoning = asyncio.run(_run(place, server, database, options))
    print(reckoning)  # noqa: T201
    if reckoning.broken:
        # A seed repeats the faults in their order; the timing of processes still varies.
        print(f"again: make faults SEED={options.seed} MINUTES={options.minutes:g}")  # noqa: T201
    sys.exit(bool(reckoning.broken))


async def _run(
    home: Path, server: PostgresForTests, database: DatabaseForTest, options: argparse.Namespace
) -> Reckoning:
    chance = Random(options.seed)
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} {what}", flush=True)  # noqa: T201

    known = [kind for kind in KINDS if not options.kind or kind.__name__ in options.kind]

    def kinds() -> Iterator[Kind]:
        while time.monotonic() - began < 60 * options.minutes:
            yield chance.choice(known)

    async with running(home, database, server.superuser_url) as world:
        reckoning = await storm(world, chance, kinds(), Pace(), tell)
        if reckoning.broken:
            print(world.output())  # noqa: T201
    return reckoning


if __name__ == "__main__":
    main()
