"""
Measures how an org that sends 100 times its quota of API requests moves another org's latency.

The other org's calls are measured by turns: alone, beside the flood with the flooding org's quota
set, and beside the same flood without a quota. The flood is a program of its own.
``python -m benchmarks.noisy_neighbour --help`` lists the options.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext

import httpx

from benchmarks.logins import Plane, fetch_token, running_planes
from benchmarks.stack import percentile, table
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import NewBinding, PrincipalKind
from controlplane.core.quotas import Limit
from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_org
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.roles import Roles
from controlplane.usecases.quotas import Quotas
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName

_CALL = "/flyteidl2.project.ProjectService/ListProjects"
_QUIET, _NOISY = OrgName("local"), OrgName("noisy")
_TIMES_QUOTA = 100
_CONNECTIONS = 32
_TRIES = 600


def _operator(org: OrgName) -> Caller:
    grants = org_wide(EVERYTHING)
    return Caller(subject=Subject("operator:benchmark"), org=org, name="", grants=grants)


async def make_token(database: Database, plane: Plane, org: OrgName) -> str:
    """Create an admin's API key in an org, and return a token of it."""
    clock, operator = SystemClock(), _operator(org)
    async with database.for_org(org) as tx:
        await save_org(tx, clock.now())
    accounts = ServiceAccounts(database, clock)
    account = await accounts.create(operator, "benchmark", "")
    admin = NewBinding(kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role="admin")
    await Roles(database, clock).bind(operator, admin)
    key = await accounts.create_key(operator, account.id, "benchmark")
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await fetch_token(http, plane.url, key)
        answer.raise_for_status()
        return str(answer.json()["access_token"])


async def send_paced(
    http: httpx.AsyncClient, url: str, rate: float, times: list[float], statuses: dict[int, int]
) -> None:
    """Send calls at a rate, whether or not earlier ones have been answered, until cancelled."""
    async with asyncio.TaskGroup() as calls:

        async def call() -> None:
            started = time.perf_counter()
            answer = await http.post(url + _CALL, json={})
            times.append(time.perf_counter() - started)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

        begun = time.perf_counter()
        for number in range(sys.maxsize):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            calls.create_task(call())


async def flood(url: str, token: str, *, rate: float, seconds: float) -> None:
    """Be the flooding org's program: print how many calls were answered with each status."""
    statuses: dict[int, int] = {}
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=600) as http:
        try:
            async with asyncio.timeout(seconds):
                await send_paced(http, url, rate, [], statuses)
        except TimeoutError:
            pass
    print(statuses.get(200, 0), statuses.get(429, 0))


@asynccontextmanager
async def flooded(
    plane: Plane, token: str, options: argparse.Namespace, sums: list[int]
) -> AsyncIterator[None]:
    """Run the flood's program during the block; add its served and its refused calls to ``sums``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.noisy_neighbour", "--flood", plane.url, token),
        *("--quota", str(options.quota), "--seconds", str(options.seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    yield
    printed, _ = await process.communicate()
    served, refused = map(int, printed.split())
    sums[0] += served
    sums[1] += refused


async def measure_quiet(plane: Plane, token: str, options: argparse.Namespace) -> list[float]:
    times: list[float] = []
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        try:
            async with asyncio.timeout(options.seconds):
                await send_paced(http, plane.url, options.rate, times, {})
        except TimeoutError:
            pass
    return times


async def measure_cpu(plane: Plane, token: str, count: int) -> float:
    """Return the control plane's CPU milliseconds for each call, one after the other."""
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        before = plane.cpu_seconds()
        for _ in range(count):
            await http.post(plane.url + _CALL, json={})
        return (plane.cpu_seconds() - before) / count * 1000


async def set_quota(database: Database, plane: Plane, token: str, rate: int) -> None:
    """Set the flooding org's quota, and return once the replica refuses, or admits, its calls."""
    changes = {Limit.REQUESTS_PER_SECOND: rate}
    await Quotas(database, SystemClock()).update(_operator(_NOISY), "", changes)
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        for _ in range(_TRIES):
            calls = (http.post(plane.url + _CALL, json={}) for _ in range(2 * rate or 20))
            refused = 429 in {each.status_code for each in await asyncio.gather(*calls)}
            if refused == bool(rate):
                return
            await asyncio.sleep(0.1)
    raise RuntimeError("the replica does not follow the quota")


async def run(plane: Plane, url: str, options: argparse.Namespace) -> None:
    database = open_database(url)
    quiet = await make_token(database, plane, _QUIET)
    noisy = await make_token(database, plane, _NOISY)
    times: Mapping[str, list[float]] = {"alone": [], "with a quota": [], "without": []}
    sums = {name: [0, 0] for name in times}
    await measure_quiet(plane, quiet, options)  # fills caches
    parts = [name for _ in range(options.turns) for name in times]
    for name in parts:
        await set_quota(database, plane, noisy, 0 if name == "without" else options.quota)
        beside = name != "alone"
        async with flooded(plane, noisy, options, sums[name]) if beside else nullcontext():
            times[name].extend(await measure_quiet(plane, quiet, options))
    await set_quota(database, plane, noisy, 0)
    served_cpu = await measure_cpu(plane, noisy, options.count)
    await set_quota(database, plane, noisy, 1)
    refused_cpu = await measure_cpu(plane, noisy, options.count)
    await database.close()
    title = f"ListProjects at {options.rate}/s, beside {_TIMES_QUOTA} times {options.quota}/s"
    with table(title, "", *times, "ratio with, without") as rows:
        for share in (0.5, 0.99):
            alone, limited, free = (1000 * percentile(each, share) for each in times.values())
            rows.add_row(
                f"p{100 * share:.0f} ms",
                *(f"{each:.1f}" for each in (alone, limited, free)),
                f"{limited / alone:.2f}, {free / alone:.2f}",
            )
        rows.add_row("the other org's calls", *(str(len(each)) for each in times.values()), "")
        for number, what in enumerate(("served", "refused")):
            counts = (str(each[number]) for each in sums.values())
            rows.add_row(f"calls of the flood that were {what}", *counts, "")
    with table("CPU of the control plane", "", "ms of a call") as rows:
        rows.add_row("served", f"{served_cpu:.2f}")
        rows.add_row("refused, but for one a second", f"{refused_cpu:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quota", type=int, default=5, help="requests/s of the flooding org")
    parser.add_argument("--rate", type=int, default=20, help="requests/s of the other org")
    parser.add_argument("--seconds", type=float, default=15, help="of each part")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000, help="calls whose CPU is measured")
    parser.add_argument("--flood", nargs=2, metavar=("URL", "TOKEN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        rate = _TIMES_QUOTA * options.quota
        url, token = options.flood
        asyncio.run(flood(url, token, rate=rate, seconds=options.seconds))
        return
    with running_planes() as (_, plane, url):
        asyncio.run(run(plane, url, options))


if __name__ == "__main__":
    main()
