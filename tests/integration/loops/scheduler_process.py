"""A scheduler of triggers in a process of its own: prints a line for each run that it builds."""

import asyncio
import sys
from contextlib import nullcontext
from datetime import datetime, timedelta

from controlplane.api.convert.triggers import build_run
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective
from controlplane.core.triggers import DueTrigger
from controlplane.loops.triggers import TriggerScheduler
from controlplane.store.database import open_database
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.fakes.clock import FakeClock


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(url: str, base: str, now: str) -> None:
    def build(due: DueTrigger, spec: bytes, effective: Effective, org: OrgName) -> NewRun:
        tell("built")
        return build_run(due, spec, effective, org, base=base)

    database = open_database(url, pool_size=2)
    scheduler = TriggerScheduler(
        database,
        lambda _: nullcontext(),
        FakeClock(datetime.fromisoformat(now)),
        build=build,
        every=timedelta(seconds=1),
    )
    await scheduler.run_once()
    tell("done")
    await SystemClock().sleep(timedelta(hours=1))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
