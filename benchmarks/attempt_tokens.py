"""
Measures what the tokens of attempts cost a replica: the exchange of leases, the first call of an
attempt, a call that is remembered, and the passes that read the leases again.

In one process, on a Postgres of its own, with running attempts that are filled in.
``python -m benchmarks.attempt_tokens --help`` lists the options.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence

from sqlalchemy import text

from benchmarks.stack import percentile, table
from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.core.attempt_callers import credential_of, subject_of
from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import ClusterRef, save_cluster, save_org
from controlplane.store.resources.runs import create_run
from controlplane.usecases.running_attempts import (
    MAX_EXCHANGED,
    READ_EVERY,
    AttemptTokens,
    RunningAttempts,
)
from shared.kit.clock import SystemClock
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, RunId
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.wide import add_children
from tests.servers.postgres import PostgresForTests

CLUSTER = ClusterName("c1")
_PROJECT = text(
    "INSERT INTO projects (org, project, created_at, updated_at) VALUES (:org, 'p', now(), now())"
)
_RUN_ALL = text("""
UPDATE dispatches
SET lease_id = gen_random_uuid(), cluster = 'c1', leased_at = now(), accepted_at = now()
RETURNING action_id, lease_id
""")

Lease = tuple[AttemptId, LeaseId]


async def fill(database: Database, count: int) -> Sequence[Lease]:
    """Create a run with this many running attempts; return their leases."""
    async with database.for_org(ORG) as tx:
        await save_org(tx, NOW)
        await tx.execute(_PROJECT)
        await save_cluster(tx, CLUSTER, b"digest", NOW)
        _, run = await create_run(
            tx, RunId(new_uuid(NOW)), make_new_run("wide"), by="benchmark", now=NOW
        )
    await add_children(database, run, count - 1)
    async with database.for_org(ORG) as tx:
        rows = await tx.rows(_RUN_ALL)
    return [(AttemptId(ActionId(row.action_id), 1), LeaseId(row.lease_id)) for row in rows]


async def measure(database: Database, leases: Sequence[Lease], passes: int) -> None:
    clock = SystemClock()
    tokens = AccessTokens(TokenKeySet([make_key(clock.now())]), clock, issuer="https://benchmark")
    exchange = AttemptTokens(database, tokens)
    cluster = ClusterRef(ORG, CLUSTER)
    exchanged: list[float] = []
    for start in range(0, len(leases), MAX_EXCHANGED):
        page = leases[start : start + MAX_EXCHANGED]
        began = time.perf_counter()
        await exchange.exchange(cluster, page)
        exchanged.append((time.perf_counter() - began) * 1000 / len(page))

    attempts = RunningAttempts(database, clock)
    first: list[float] = []
    again: list[float] = []
    for attempt, lease in leases:
        subject, credential = subject_of(attempt.action), credential_of(lease)
        began = time.perf_counter()
        await attempts.find(ORG, subject, credential)
        met = time.perf_counter()
        await attempts.find(ORG, subject, credential)
        first.append((met - began) * 1000)
        again.append((time.perf_counter() - met) * 1000)
    read: list[float] = []
    for _ in range(passes):
        began = time.perf_counter()
        await attempts.refresh()
        read.append((time.perf_counter() - began) * 1000)

    every = READ_EVERY.total_seconds() * 1000
    with table(f"{len(leases)} running attempts that call one replica", "", "p50", "p99") as made:
        for name, took in (
            (f"exchange, {MAX_EXCHANGED} at once: ms a lease", exchanged),
            ("first call of an attempt: ms", first),
            ("call within a second of it: ms", again),
            (f"pass that reads all leases, each {every:.0f} ms: ms", read),
        ):
            made.add_row(name, f"{percentile(took, 0.5):.3f}", f"{percentile(took, 0.99):.3f}")
        made.add_row(
            "share of the interval that a pass takes", f"{statistics.median(read) / every:.2f}", ""
        )


async def run(url: str, options: argparse.Namespace) -> None:
    database = open_database(url)
    leases = await fill(database, options.attempts)
    await measure(database, leases, options.passes)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=2_000, help="that run and call")
    parser.add_argument("--passes", type=int, default=30, help="of the loop that reads leases")
    options = parser.parse_args()
    with PostgresForTests.running() as postgres, postgres.migrated() as database:
        asyncio.run(run(database.url, options))


if __name__ == "__main__":
    main()
