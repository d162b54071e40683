"""
The system under test: two replicas, two clusters with an agent each, proxies between them.

All run on this machine, with timings by which a lost cluster's leases expire in seconds.
"""

import asyncio
import errno
import hashlib
import os
import resource
import signal
import struct
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import httpx

from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_cluster
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName, OrgName
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy, Target
from tests.ports import free_ports
from tests.running import until
from tests.servers.postgres import DatabaseForTest
from tests.system.api_client import ApiClient

ORG = OrgName("local")
GRACE_SECONDS = 1.0
REASSIGN_SECONDS = 9.0
_ROOT = Path(__file__).parents[2]
_TASKS = Path(__file__).parent / "tasks"
_CLOCKS = Path(__file__).parent / "clocks"
_READY_SECONDS = 60
_DISK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The replicas, agents and timings of a world; default timings are seconds."""

    replicas: Sequence[OrgName] = (ORG, ORG)  # whose API each is
    agents: Sequence[tuple[OrgName, str]] = ((ORG, "local"), (ORG, "other"))  # of clusters
    slots: int = 16
    timings: Mapping[str, float] = field(
        default_factory=lambda: {
            "HEARTBEAT": 0.5,
            "SILENT_AFTER": 2,
            "ACCEPT_WITHIN": 2,
            "SELF_FENCE": 4,
            "REASSIGN_AFTER": REASSIGN_SECONDS,
        }
    )


@dataclass(slots=True)
class Program:
    """A process and its restarts."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    home: Path
    process: asyncio.subprocess.Process | None = None
    is_wanted: bool = False  # started again when it ends
    lives: int = 0

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        self.is_wanted = True
        if self.is_running:
            return
        self.lives += 1
        if not self._clock.exists():
            self.set_clock(0)
        environment = {**_clean(self.home), **self.environment}
        environment["TESTS_CLOCK"] = str(self._clock)
        with self.log.open("ab") as words:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, cwd=_ROOT, env=environment, stdout=words, stderr=words
            )

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end of it; it stays ended."""
        self.is_wanted = False
        self.send(signal.SIGCONT)
        self.send(number)
        if self.process is not None:
            await self.process.wait()

    def limit_files(self, size: int | None) -> None:
        """Let it write no further than ``size`` bytes into any file: to it, the disk is full."""
        if self.process is not None and self.process.returncode is None:
            most = resource.RLIM_INFINITY if size is None else size
            limits = (most, resource.RLIM_INFINITY)
            with suppress(ProcessLookupError):  # it was killed, and asyncio does not know yet
                resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def set_clock(self, ahead: float) -> None:
        """Set its clock to be so many seconds ahead of the machine's."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(struct.pack("d", ahead))

    @property
    def _clock(self) -> Path:
        return self.home / f"{self.name}.clock"

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass(slots=True)
class Replica:
    program: Program
    api: ApiClient
    link_port: int
    database: Proxy

    async def is_ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                answer = await client.get(f"{self.api.url}/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def counted(self, name: str) -> float:
        """Add up a counter of its ``/metrics``; 0 while it is away."""
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                text = (await client.get(f"{self.api.url}/metrics")).text
        except httpx.HTTPError:
            return 0.0
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass(slots=True)
class Agent:
    program: Program
    cluster: ClusterName
    data: Path
    links: Sequence[Proxy]  # to each replica
    has_own_disk: bool

    def fill_disk(self) -> None:
        """Leave no room on its disk; without a disk of its own, let its files grow no more."""
        if not self.has_own_disk:
            self.program.limit_files(4096)
            return
        with self._ballast.open("ab", buffering=0) as file:
            while _is_room_for(file, bytes(64 * 1024)) or _is_room_for(file, bytes(512)):
                pass

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)
        self.program.limit_files(None)

    @property
    def _ballast(self) -> Path:
        return self.data / "ballast"


@dataclass(slots=True)
class World:
    home: Path
    shape: Shape
    database: DatabaseForTest
    superuser_url: str
    store: Database
    ledger: Ledger
    stack: AsyncExitStack
    tasks: asyncio.TaskGroup
    replicas: list[Replica] = field(default_factory=list)
    agents: list[Agent] = field(default_factory=list)

    @property
    def blobs(self) -> Path:
        return self.home / "blobs"

    @property
    def bundle(self) -> str:
        return f"file://{self.blobs}/{ORG}/bundle.tar.gz"

    @property
    def programs(self) -> list[Program]:
        of_agents = [each.program for each in self.agents]
        return [*(each.program for each in self.replicas), *of_agents]

    @property
    def proxies(self) -> list[Proxy]:
        links = [proxy for each in self.agents for proxy in each.links]
        return [*links, *(each.database for each in self.replicas)]

    async def make_agent(self, cluster: str, name: str, *options: str) -> Agent:
        """Make an agent of the cluster, with a proxy to each replica; it is not started yet."""
        data = self.home / name
        data.mkdir()
        links = [Proxy(("127.0.0.1", each.link_port), self.tasks) for each in self.replicas]
        for link in links:
            await self.stack.enter_async_context(link.running())
        token = self.home / f"token-{cluster}"
        token.write_text(_token(cluster))
        addresses = ",".join(f"127.0.0.1:{each.port}" for each in links)
        command = [
            *(sys.executable, "-m", "dataplane.agent", "run", "--token-file", str(token)),
            *("--control-plane", addresses, "--data-dir", str(data)),
            *("--public-endpoint", self.replicas[0].api.url.removeprefix("http://")),
            *("--grace-seconds", str(GRACE_SECONDS), "--slots", str(self.shape.slots), *options),
        ]
        program = Program(name, command, {}, self.home)
        agent = Agent(program, ClusterName(cluster), data, links, await self._mount(data))
        self.agents.append(agent)
        return agent

    async def _mount(self, data: Path) -> bool:
        """Give the directory a disk of its own, a small one; False: only root may do that."""
        if os.geteuid() != 0:
            return False
        mount = ("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=700", "tmpfs", str(data))
        process = await asyncio.create_subprocess_exec(*mount, stderr=subprocess.DEVNULL)
        if await process.wait():
            return False
        self.stack.push_async_callback(_unmount, data)
        return True

    async def keep_up(self) -> None:
        """Restart processes that exit unexpectedly, as a supervisor does."""
        while True:
            for program in self.programs:
                ended = program.process is not None and program.process.returncode is not None
                if program.is_wanted and ended:
                    await program.start()
            await asyncio.sleep(0.2)

    async def until_ready(self, replica: Replica) -> None:
        name = replica.program.name
        await until(
            replica.is_ready, f"{name} is ready", at_most=_READY_SECONDS, output=self.output
        )

    def output(self) -> str:
        """Return the end of every log, for a failed test."""
        return "\n".join(f"== {each.name}\n{each.output()[-4000:]}" for each in self.programs)


@asynccontextmanager
async def running(
    home: Path, database: DatabaseForTest, superuser_url: str, shape: Shape | None = None
) -> AsyncIterator[World]:
    """Run everything for the length of a block; nothing is left behind."""
    store, ledger = open_database(database.url, pool_size=2), Ledger(home / "ledger.jsonl")
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        shape = shape or Shape()
        world = World(home, shape, database, superuser_url, store, ledger, stack, tasks)
        _pack(world.blobs / ORG)
        stack.push_async_callback(store.close)
        await stack.enter_async_context(_ended(world))
        for number, org in enumerate(shape.replicas, 1):
            replica = await _make_replica(world, number, org, stack)
            world.replicas.append(replica)
            await replica.program.start()
            await world.until_ready(replica)
        for org, cluster in shape.agents:
            async with store.for_org(org) as tx:
                digest = hashlib.sha256(_token(cluster).encode()).digest()
                await save_cluster(tx, ClusterName(cluster), digest, SystemClock().now())
            agent = await world.make_agent(cluster, f"agent-{cluster}")
            await agent.program.start()
        await stack.enter_async_context(world.ledger.watched())
        supervising = tasks.create_task(world.keep_up(), name="supervisor")
        stack.callback(supervising.cancel)
        yield world


async def _make_replica(world: World, number: int, org: OrgName, stack: AsyncExitStack) -> Replica:
    cluster = next(cluster for of, cluster in world.shape.agents if of == org)
    http_port, link_port = free_ports(2)
    database = Proxy(_target(world.database.url), world.tasks)
    await stack.enter_async_context(database.running())
    environment = {
        "VOLARY_DATABASE_URL": _through(database, world.database.url),
        "VOLARY_DATABASE_POOL_SIZE": "8",
        "VOLARY_BLOB_BASE": f"file://{world.blobs}",
        "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
        "VOLARY_ORG": org,
        "VOLARY_CLUSTER": cluster,
        "VOLARY_CLUSTER_TOKEN": _token(cluster),
        "VOLARY_HTTP_PORT": str(http_port),
        "VOLARY_LINK_PORT": str(link_port),
        **{f"VOLARY_LINK_{name}_SECONDS": str(each) for name, each in world.shape.timings.items()},
    }
    command = [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"]
    name = f"replica-{number}"
    program = Program(name, command, environment, world.home)
    return Replica(program, ApiClient(f"http://127.0.0.1:{http_port}"), link_port, database)


@asynccontextmanager
async def _ended(world: World) -> AsyncIterator[None]:
    """Leave no process behind, however the block ends."""
    try:
        yield
    finally:
        await _end_all(world)


async def _end_all(world: World) -> None:
    for proxy in world.proxies:
        proxy.heal()
    for program in world.programs:
        program.is_wanted = False
    for program in world.programs:
        await program.end(signal.SIGKILL)
    for ran in world.ledger.ran:
        if ran.died_at is None:
            os.kill(ran.pid, signal.SIGKILL)


async def _unmount(data: Path) -> None:
    # Lazily: whatever runs there still has just been told to die.
    process = await asyncio.create_subprocess_exec("umount", "-l", str(data))
    assert not await process.wait()


def _is_room_for(file: FileIO, more: bytes) -> bool:
    try:
        return file.write(more) == len(more)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


def _pack(base: Path) -> None:
    """Pack the tasks as the SDK does for code that is not in the image."""
    base.mkdir(parents=True)
    with tarfile.open(base / "bundle.tar.gz", "w:gz") as archive:
        for file in _TASKS.glob("*.py"):
            archive.add(file, file.name)


def _token(cluster: str) -> str:
    return f"the-token-of-cluster-{cluster}"


def _target(url: str) -> Target:
    """Where the server of a database's address listens; for a socket, its file."""
    parts = urlsplit(url)
    if parts.hostname:
        return parts.hostname, parts.port or 5432
    return Path(unquote(parse_qs(parts.query)["host"][0])) / ".s.PGSQL.5432"


def _through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
    return urlunsplit(parts._replace(netloc=place, query=""))


def _clean(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": f"{_CLOCKS}:{_ROOT}"}
