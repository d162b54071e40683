"""The agent's own program over TLS: it enrols, renews, restarts at any step, and reports clones."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import grpc.aio
import pytest

from controlplane.store.database import Database
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.resources.clusters import note_clone
from controlplane.usecases.clusters import Clusters
from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import AgentRefusedError, open_channel
from dataplane.agent.link.connection import Connection
from dataplane.agent.link.enrolment import Enrolment
from dataplane.agent.link.identity import Identity, IdentityError
from dataplane.agent.link.identity_file import IdentityFile
from dataplane.agent.link.renewal import Renewal
from dataplane.agent.link.secrets import SecretsClient
from shared.kit.certificates import issue, make_authority
from shared.kit.clock import Clock, SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.ids import ClusterName
from tests.factories import ORG
from tests.integration.agent_identity.test_tls import authority, database, replica
from tests.integration.agent_identity.tls_world import Replica
from tests.kube.certificates import Authority
from tests.running import until
from tests.unit.agent.assignments import make_assignment

__all__ = ["authority", "database", "replica"]


class IdleHandler:
    """A session handler of an agent without attempts."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.welcomes: list[int] = []
        self.expulsions = 0

    async def end_attempts(self) -> tuple[int, int]:
        self.expulsions += 1
        return 0, 0

    async def begin(self) -> list[object]:
        return []

    async def welcome(self, welcome: object) -> None:
        self.welcomes.append(cast("int", getattr(welcome, "epoch")))  # noqa: B009

    async def record_heartbeat(self, at: datetime) -> None: ...
    async def take(self, message: object) -> None: ...
    async def end(self) -> None: ...
    def capacity(self) -> int:
        return 0

    def holding(self) -> tuple[int, int]:
        return 0, 0

    def due(self) -> list[object]:
        return []


@dataclass(frozen=True, slots=True)
class Ids:
    """The part of a ledger that a connection reads."""

    agent_id: str = "an agent"
    last_epoch: int = 0


class SlowClock(SystemClock):
    """The clock of a machine that is an hour behind."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Home:
    """An agent's data directory and join token."""

    path: Path
    replica: Replica

    @property
    def token_file(self) -> Path:
        return self.path / "join-token"

    @property
    def store(self) -> IdentityFile:
        return IdentityFile(self.path / "identity.json")

    def document(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.path / "identity.json").read_text())
        return found

    def enrolment(self, clock: Clock | None = None) -> Enrolment:
        return Enrolment(
            store=self.store,
            addresses=[self.replica.enrolment],
            join_token_file=self.token_file if self.token_file.exists() else None,
            ca_file=self.replica.trust,
            clock=clock or SystemClock(),
        )

    async def join(self, cluster: str = "c1") -> Identity:
        self.token_file.write_text((await self.replica.token(cluster)).reveal() + "\n")
        return await self.enrolment().open()

    def connection(self, identity: Identity, handler: IdleHandler) -> Connection:
        clock = SystemClock()
        return Connection(
            addresses=[self.replica.link],
            token=identity,
            ca_file=self.replica.trust,
            capabilities=list,
            ledger=cast("Ledger", Ids()),
            handler=handler,  # type: ignore[arg-type]
            clock=clock,
            renewal=Renewal(identity, clock),
        )

    @asynccontextmanager
    async def connected(self, identity: Identity) -> AsyncIterator[IdleHandler]:
        """Run the agent's connection behind the block, once it was welcomed."""
        handler = IdleHandler()
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.connection(identity, handler).run())
            await until(lambda: bool(handler.welcomes) or task.done(), "a welcome")
            yield handler
            task.cancel()


@pytest.fixture
def home(tmp_path: Path, replica: Replica) -> Home:
    path = tmp_path / "agent"
    path.mkdir(mode=0o700)
    return Home(path, replica)


async def test_identity_is_kept_in_a_file_of_its_user(home: Home) -> None:
    identity = await home.join()
    assert (identity.org, identity.cluster) == (ORG, "c1")
    assert identity.api_endpoint == "volary.example.com:443"
    assert (home.path / "identity.json").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in home.path.iterdir() if each.name.startswith(".")] == []
    token = home.token_file.read_text().strip()
    assert token not in (home.path / "identity.json").read_text()
    home.token_file.unlink()
    again = await home.enrolment().open()
    assert again.chosen == identity.chosen


async def test_agent_that_died_while_it_enrolled_goes_on_with_the_same_key(home: Home) -> None:
    made = await home.replica.enrolments.create_cluster(home.replica.operator, "c1")
    assert made.token is not None
    home.token_file.write_text(made.token.reveal())
    enrolments = home.replica.enrolments

    async def waits() -> bool:
        found = await enrolments.list(home.replica.operator, "c1")
        return any(each.used_at for each in found)

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(home.enrolment().open())
        await until(waits, "the agent waits")
        first.cancel()
    await enrolments.accept(home.replica.operator, "c1")
    identity = await home.enrolment().open()
    assert identity.cluster == "c1"


@pytest.mark.parametrize(
    ("write", "error", "why"),
    [
        (lambda _: None, IdentityError, "has no identity yet"),
        (lambda home: home.token_file.write_text(""), IdentityError, "is empty"),
        (
            lambda home: home.token_file.write_text("unknown"),
            AgentRefusedError,
            "no such join token",
        ),
        (
            lambda home: (home.path / "identity.json").write_text("{}"),
            IdentityError,
            "holds no identity",
        ),
    ],
    ids=["no token", "empty token", "unknown token", "damaged identity"],
)
async def test_agent_that_cannot_enrol_says_why(
    home: Home, write: Callable[[Home], object], error: type[Exception], why: str
) -> None:
    write(home)
    with pytest.raises(error, match=why):
        await home.enrolment().open()


async def test_join_token_is_in_no_log_or_error(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await home.join()
    secret = home.token_file.read_text().strip()
    await home.replica.enrolments.revoke(home.replica.operator, "c1")
    home.token_file.write_text(secret + "x")
    identity = await home.enrolment().open()
    assert "the identity before stays in use" in caplog.text
    assert secret not in caplog.text
    assert identity.chosen.key.reveal().decode() not in caplog.text


async def test_agent_connects_renews_on_request_and_drops_the_old_certificate(
    home: Home,
    database: Database,
) -> None:
    identity = await home.join()
    old = identity.chosen.serial
    async with home.connected(identity) as handler:
        async with database.for_org(ORG) as tx:
            await note_clone(tx, ClusterName("c1"), "a test", old, SystemClock().now())
            await notify_cluster(tx, ClusterName("c1"))
        await until(lambda: len(handler.welcomes) == 2, "a second session")
        await until(lambda: len(home.document()["certificates"]) == 1, "one certificate")  # type: ignore[arg-type]
    assert identity.chosen.serial != old


async def test_agent_tries_both_certificates_after_it_died_between_two_steps(home: Home) -> None:
    identity = await home.join()
    async with home.connected(identity):
        pass
    raw = (home.path / "identity.json").read_text()
    async with home.connected(identity) as handler:
        renewal = Renewal(identity, SystemClock())
        # Renewed and stored, but never confirmed: the process dies.
        async with _channel(home, identity) as channel:
            await renewal._renew(channel)
        del handler
    assert len(home.document()["certificates"]) == 2  # type: ignore[arg-type]
    restarted = await home.enrolment().open()
    async with home.connected(restarted):
        await until(lambda: len(home.document()["certificates"]) == 1, "one certificate")  # type: ignore[arg-type]
    # A backup from before the renewal is a copy.
    (home.path / "identity.json").write_text(raw)
    restored = await home.enrolment().open()
    with pytest.raises(AgentRefusedError, match="key was copied, or a backup"):
        await home.connection(restored, IdleHandler()).run()


async def test_agent_has_the_links_new_authority_before_it_is_needed(
    home: Home,
    authority: Authority,
) -> None:
    identity = await home.join()
    assert identity.roots() == b""
    now, lasts = SystemClock().now(), timedelta(hours=1)
    later = make_authority("a later authority", now, lasts=lasts)
    bundle = home.replica.trust.with_name("bundle.crt")
    async with home.connected(identity), _channel(home, identity) as channel:
        renewal = Renewal(identity, SystemClock())
        bundle.write_bytes(b"not a certificate")  # it is logged, and no agent gets it
        await renewal._renew(channel)
        assert identity.roots() == b""
    bundle.write_bytes(authority.certificate.read_bytes() + later.certificate)
    async with home.connected(identity), _channel(home, identity) as channel:
        await renewal._renew(channel)
    assert identity.roots() == bundle.read_bytes()
    shown = issue(later, "the link", ["127.0.0.1"], now, lasts=lasts).pair
    for new, old in ((shown.certificate, "link.crt"), (shown.key, "link.key")):
        home.replica.trust.with_name(old).write_bytes(new)
    await until(lambda: home.replica.tls.is_showing(shown.certificate), "the new one")
    async with home.connected(await home.enrolment().open()):  # its --ca-file has the old one only
        pass


async def test_revoked_agent_ends_with_the_remedy_and_enrols_again_with_a_new_token(
    home: Home,
) -> None:
    identity = await home.join()
    handler = IdleHandler()

    async def revoke() -> None:
        await until(lambda: bool(handler.welcomes), "a welcome")
        await home.replica.enrolments.revoke(home.replica.operator, "c1")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(revoke())
        with pytest.raises(AgentRefusedError, match=r"was revoked.*join-token"):
            await home.connection(identity, handler).run()
    assert handler.expulsions == 1
    later = IdleHandler()
    with pytest.raises(AgentRefusedError, match="was revoked"):  # an agent that was off meanwhile
        await home.connection(identity, later).run()
    assert (later.expulsions, later.welcomes) == (1, [])
    made = await home.replica.enrolments.create_token(home.replica.operator, "c1", auto_accept=True)
    assert made.token is not None
    home.token_file.write_text(made.token.reveal())
    async with home.connected(await home.enrolment().open()):
        replaced = IdleHandler()
        with pytest.raises(AgentRefusedError, match="was revoked"):
            await home.connection(identity, replaced).run()
        assert replaced.expulsions == 0  # its attempts may be the other one's


async def test_agent_of_a_deleted_cluster_is_told_to_end_its_attempts(
    home: Home, database: Database
) -> None:
    identity = await home.join()
    handler = IdleHandler()

    async def delete() -> None:
        await until(lambda: bool(handler.welcomes), "a welcome")
        clusters = Clusters(database, SystemClock())
        await clusters.delete(home.replica.operator, ClusterName("c1"))

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(delete())
        with pytest.raises(AgentRefusedError, match=r"cluster c1 of org acme was deleted"):
            await home.connection(identity, handler).run()
    assert handler.expulsions == 1
    unknown = IdleHandler()  # to this control plane: it may be another installation's
    with pytest.raises(AgentRefusedError, match="does not know this certificate"):
        await home.connection(identity, unknown).run()
    assert unknown.expulsions == 0


async def test_clock_an_hour_off_is_named(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.token_file.write_text((await home.replica.token()).reveal())
    await home.enrolment(SlowClock()).open()
    assert "the clock of this machine is behind the control plane's by 1:00:0" in caplog.text


async def test_untrusted_server_is_named_with_ca_and_clock(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.token_file.write_text((await home.replica.token()).reveal())
    enrolment = replace(home.enrolment(), ca_file=Authority(tmp_path / "wrong").certificate)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(enrolment.open())
        await until(
            lambda: "check --ca-file, and this machine's clock" in _details(caplog), "a hint"
        )
        task.cancel()


async def test_secrets_are_fetched_with_the_certificate(home: Home) -> None:
    identity = await home.join()
    client = SecretsClient([home.replica.link], identity, home.replica.trust)
    assignment = make_assignment()
    with pytest.raises(SecretsRefusedError):  # it is authenticated, and has no such lease
        await client.fetch(assignment, ["a"])
    await home.replica.enrolments.revoke(home.replica.operator, "c1")
    with pytest.raises(SecretsUnavailableError, match="was revoked"):
        await client.fetch(assignment, ["a"])


def _details(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(getattr(record, "detail", "")) for record in caplog.records)


@asynccontextmanager
async def _channel(home: Home, identity: Identity) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(home.replica.link, home.replica.trust, identity) as channel:
        yield channel
