"""
Measures what logins cost: calls with a token against anonymous ones, revocation, an attack.

Two control planes on one database, one anonymous and one with logins, are asked by turns, so that
both see the same neighbours. ``python -m benchmarks.logins --help`` lists the options.
"""

import argparse
import asyncio
import base64
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.stack import percentile, table
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import CreatedApiKey, NewBinding, PrincipalKind
from controlplane.store.database import open_database
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.roles import Roles
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.replicas.world import context
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.postgres import DatabaseForTest, PostgresForTests

_OPERATOR = Caller(
    subject=Subject("operator:benchmark"),
    org=OrgName("local"),
    name="",
    grants=org_wide(EVERYTHING),
)
_CALL = "/flyteidl2.project.ProjectService/ListProjects"
_USER_INFO = "/flyteidl2.auth.IdentityService/UserInfo"
_VICTIM, _ATTACKER = "127.0.0.1", "127.0.0.2"


@dataclass(frozen=True, slots=True)
class Plane:
    """A control plane as a process of its own."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True, slots=True)
class Rate:
    calls_per_second: float
    cpu_ms: float  # of the control plane, for each call


@contextmanager
def running_planes() -> Iterator["tuple[Plane, Plane, str]"]:
    """Run an anonymous control plane and one with logins; gives also their database's URL."""
    with (
        tempfile.TemporaryDirectory(prefix="volary-benchmark-") as home,
        PostgresForTests.running() as postgres,
        postgres.migrated() as database,
    ):
        ports = free_ports(4)
        programs = [
            Program(
                name,
                [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"],
                logs=Path(home),
                environment={
                    **_environment(database, Path(home)),
                    "VOLARY_HTTP_PORT": str(ports[number]),
                    "VOLARY_LINK_PORT": str(ports[2 + number]),
                    "VOLARY_AUTH": name,
                },
            )
            for number, name in enumerate(("anonymous", "oidc"))
        ]
        urls = [f"http://localhost:{port}" for port in ports[:2]]
        try:
            for program in programs:
                program.start()
            for program, url in zip(programs, urls, strict=True):
                program.wait_until(_readiness(url), "ready", within=60)
            planes = [
                Plane(url, psutil.Process(program.pid))
                for program, url in zip(programs, urls, strict=True)
            ]
            yield planes[0], planes[1], database.url
        finally:
            for program in programs:
                if program.is_running:
                    program.end()


def _environment(database: DatabaseForTest, home: Path) -> Mapping[str, str]:
    return {
        **context(home),
        "VOLARY_DATABASE_URL": database.url,
        "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
        "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
        "VOLARY_CLUSTER_TOKEN": "the-token-of-a-cluster-of-tests",
        "VOLARY_LOG_LEVEL": "warning",
        "VOLARY_SEALING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def _readiness(url: str) -> Callable[[], bool]:
    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    return is_ready


async def fetch_token(http: httpx.AsyncClient, url: str, key: CreatedApiKey) -> httpx.Response:
    """Ask for an access token with an API key."""
    assert key.secret is not None  # noqa: S101
    return await http.post(
        f"{url}/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=httpx.BasicAuth(key.key.client_id, key.secret.reveal()),
    )


async def measure_rate(plane: Plane, token: str, *, count: int, at_once: int) -> Rate:
    """Make ``count`` calls, ``at_once`` of them under way."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=60) as http:
        left = iter(range(count))

        async def call() -> None:
            for _ in left:
                answer = await http.post(plane.url + _CALL, json={})
                answer.raise_for_status()

        cpu, started = plane.cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(call())
        seconds = time.perf_counter() - started
        return Rate(count / seconds, (plane.cpu_seconds() - cpu) / count * 1000)


async def compare_calls(
    anonymous: Plane, known: Plane, key: CreatedApiKey, options: argparse.Namespace
) -> None:
    async with httpx.AsyncClient() as http:
        token = (await fetch_token(http, known.url, key)).json()["access_token"]
    rates: list[tuple[Rate, Rate]] = []
    for turn in range(options.turns + 1):
        pair = (
            await measure_rate(anonymous, "", count=options.count, at_once=options.at_once),
            await measure_rate(known, token, count=options.count, at_once=options.at_once),
        )
        if turn:  # the first fills caches
            rates.append(pair)
    ratio = statistics.median(one.calls_per_second / none.calls_per_second for none, one in rates)
    cpu = statistics.median(one.cpu_ms / none.cpu_ms for none, one in rates)
    with table("ListProjects, by turns", "", "anonymous", "with a token", "ratio") as made:
        made.add_row(
            "calls/s",
            f"{statistics.median(none.calls_per_second for none, _ in rates):.0f}",
            f"{statistics.median(one.calls_per_second for _, one in rates):.0f}",
            f"{ratio:.2f}",
        )
        made.add_row(
            "control plane, CPU ms per call",
            f"{statistics.median(none.cpu_ms for none, _ in rates):.2f}",
            f"{statistics.median(one.cpu_ms for _, one in rates):.2f}",
            f"{cpu:.2f}",
        )


async def measure_revocation(plane: Plane, accounts: ServiceAccounts, times: int) -> None:
    """Measure from the revocation's commit to the first refusal of the key's token."""
    account = await accounts.create(_OPERATOR, "revoked", "")
    took = []
    async with httpx.AsyncClient(timeout=30) as http:
        for number in range(times):
            key = await accounts.create_key(_OPERATOR, account.id, f"key {number}")
            token = (await fetch_token(http, plane.url, key)).json()["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            (await http.post(plane.url + _USER_INFO, json={}, headers=headers)).raise_for_status()
            await accounts.revoke_key(_OPERATOR, key.key.id)
            started = time.perf_counter()
            while (
                await http.post(plane.url + _USER_INFO, json={}, headers=headers)
            ).status_code != 401:
                pass
            took.append((time.perf_counter() - started) * 1000)
    with table("Revocation of an API key", "committed, token refused", "ms") as made:
        made.add_row(f"{times} keys, p50", f"{percentile(took, 0.5):.0f}")
        made.add_row("p99", f"{percentile(took, 0.99):.0f}")


async def measure_attack(plane: Plane, key: CreatedApiKey, seconds: float) -> None:
    """Measure a client's token requests, alone and while another address guesses its secret."""
    quiet, _ = await _token_times(plane, key, seconds)
    statuses: dict[int, int] = {}
    transport = httpx.AsyncHTTPTransport(local_address=_ATTACKER)
    async with httpx.AsyncClient(transport=transport, timeout=30) as attacker:

        async def guess() -> None:
            while True:
                answer = await attacker.post(
                    f"{plane.url}/oauth2/token",
                    data={"grant_type": "client_credentials"},
                    auth=httpx.BasicAuth(key.key.client_id, secrets.token_urlsafe(32)),
                )
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

        async with asyncio.TaskGroup() as tasks:
            guesses = [tasks.create_task(guess()) for _ in range(16)]
            attacked, refused = await _token_times(plane, key, seconds)
            for each in guesses:
                each.cancel()
    with table(
        "Token endpoint; 16 connections of another address guess the secret",
        "",
        "alone",
        "attacked",
    ) as made:
        for share, name in ((0.5, "p50 ms"), (0.99, "p99 ms")):
            made.add_row(
                f"token, {name}",
                f"{percentile(quiet, share) * 1000:.1f}",
                f"{percentile(attacked, share) * 1000:.1f}",
            )
        made.add_row("tokens refused to the owner", "0", str(refused))
        made.add_row("guesses answered with 401", "", str(statuses.get(401, 0)))
        made.add_row("guesses answered with 429", "", str(statuses.get(429, 0)))


async def _token_times(
    plane: Plane, key: CreatedApiKey, seconds: float
) -> "tuple[list[float], int]":
    transport = httpx.AsyncHTTPTransport(local_address=_VICTIM)
    took, refused = [], 0
    async with httpx.AsyncClient(transport=transport, timeout=30) as http:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            answer = await fetch_token(http, plane.url, key)
            refused += answer.status_code != 200
            took.append(time.perf_counter() - started)
            await asyncio.sleep(0.2)  # the pace of a client, not a wait
    return took, refused


async def run(anonymous: Plane, known: Plane, url: str, options: argparse.Namespace) -> None:
    database = open_database(url)
    accounts = ServiceAccounts(database, SystemClock())
    account = await accounts.create(_OPERATOR, "benchmark", "")
    admin = NewBinding(kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role="admin")
    await Roles(database, SystemClock()).bind(_OPERATOR, admin)
    key = await accounts.create_key(_OPERATOR, account.id, "benchmark")
    await compare_calls(anonymous, known, key, options)
    await measure_revocation(known, accounts, options.revocations)
    await measure_attack(known, key, options.seconds)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="calls of each turn")
    parser.add_argument("--at-once", type=int, default=16, help="calls under way")
    parser.add_argument("--turns", type=int, default=5, help="turns of each control plane")
    parser.add_argument("--revocations", type=int, default=100, help="keys to revoke")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase of the attack")
    options = parser.parse_args()
    with running_planes() as (anonymous, known, url):
        asyncio.run(run(anonymous, known, url, options))


if __name__ == "__main__":
    main()
