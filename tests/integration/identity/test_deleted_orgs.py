"""A deleted org is closed at once, its runs and agents stop, and it can be restored for a while."""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from controlplane.core.agent_identity import ExpelledAgentError
from controlplane.core.callers import EVERYTHING, Caller, Permission, Subject, org_wide
from controlplane.core.clusters import AgentInfo, AgentLoad
from controlplane.core.deleted_orgs import (
    AGENTS_RETURN_AFTER,
    AGENTS_STOP_WITHIN,
    DEFAULT_GRACE,
)
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    UnauthenticatedError,
    UnfitDatabaseError,
)
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.identity import NewBinding, NewInvitation, PrincipalKind
from controlplane.core.oauth import Login
from controlplane.core.roles import ADMIN, VIEWER
from controlplane.feeds.feeds import Feeds
from controlplane.loops.cascades import Cascades
from controlplane.loops.deleted_orgs import DeletedOrgLoop
from controlplane.loops.login_revocations import LoginRevocationLoop
from controlplane.store.dispatch.running_attempts import find_running, list_still_running
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.clusters import save_cluster
from controlplane.store.resources.secrets import find_scope_of_lease
from controlplane.usecases.agent_sessions import AgentSessions, SupersededError
from controlplane.usecases.bootstrap import bootstrap
from controlplane.usecases.identity.deleted_orgs import DeletedOrgs
from controlplane.usecases.identity.login_revocations import LoginRevocations
from controlplane.usecases.identity.org_deletion import OrgDeletion
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.wakeup import Wakeup
from shared.model.ids import ClusterName, LeaseId, OrgName
from shared.model.phases import Phase
from tests.factories import ORG, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.identity.conftest import World
from tests.integration.store.conftest import Store
from tests.integration.store.wide import add_children
from tests.running import running, until

CLUSTER = ClusterName("c1")
TOKEN = "token-of-the-cluster"  # noqa: S105
OTHER = OrgName("other")
NEVER = timedelta(hours=1)
AGENT = AgentInfo(
    agent_id="a", instance_id="i", software="test", protocol=1, capabilities=(), secrets_key=b""
)


class StandingClock(FakeClock):
    async def sleep(self, delay: timedelta) -> None:
        del delay
        await asyncio.Event().wait()


def deletion_of(world: World, *, own: OrgName | None = None) -> OrgDeletion:
    return OrgDeletion(world.database, world.clock, own=own)


def loop_of(world: World) -> DeletedOrgLoop:
    feeds: Any = None  # passes run without waiting
    orgs = DeletedOrgs(world.database, None, world.clock)
    return DeletedOrgLoop(orgs, feeds, world.clock, every=NEVER)


def operator(org: OrgName = ORG) -> Caller:
    return Caller(subject=Subject("operator:test"), org=org, name="", grants=org_wide(EVERYTHING))


async def delete(world: World) -> None:
    await deletion_of(world).delete(world.owner, ORG)


async def add_cluster(world: World) -> None:
    async with world.database.for_org(ORG) as tx:
        digest = hashlib.sha256(TOKEN.encode()).digest()
        await save_cluster(tx, CLUSTER, digest, world.clock.now())


@pytest.fixture
def store(world: World, database_url: str) -> Store:
    return Store(world.database, database_url)


async def test_deletion_takes_an_owner_who_types_the_name_of_the_current_version(
    world: World,
) -> None:
    deletion = deletion_of(world)
    for typed in ("", "acm", "other", "x" * 1_000_000):
        with pytest.raises(InvalidError, match=r"name: type acme, .{0,150}$"):
            await deletion.delete(world.owner, typed)
    with pytest.raises(NotAllowedError, match="lacks the permission org:write"):
        await deletion.delete(await world.join("admin", ADMIN), ORG)
    renamer = replace(world.owner, grants=org_wide([Permission.ORG_READ, Permission.ORG_WRITE]))
    with pytest.raises(NotAllowedError, match="only an owner of org acme can delete it"):
        await deletion.delete(renamer, ORG)
    with pytest.raises(ConflictError, match="at version 1, not 7"):
        await deletion.delete(world.owner, ORG, 7)
    assert (await world.orgs.get(world.owner)).deletion is None


async def test_org_that_the_installation_starts_with_is_not_deleted(world: World) -> None:
    with pytest.raises(ConflictError, match=r"starts with \(VOLARY_ORG\)"):
        await deletion_of(world, own=ORG).delete(world.owner, ORG)
    first = OrgName("first")
    start: dict[str, Any] = {"projects": [], "cluster": CLUSTER, "cluster_token": None}
    await bootstrap(world.database, world.clock, org=first, **start)
    with pytest.raises(ConflictError, match=r"starts with \(VOLARY_ORG\)"):
        await deletion_of(world).delete(operator(first), first)
    await delete(world)
    with pytest.raises(UnfitDatabaseError, match=r"org acme was deleted on .*VOLARY_ORG"):
        await bootstrap(world.database, world.clock, org=ORG, **start)


async def test_deletion_is_repeated_without_effect_and_recorded_once(world: World) -> None:
    await delete(world)
    first = await world.orgs.get(world.owner)
    world.clock.advance(timedelta(hours=1))
    again = await deletion_of(world).delete(operator(), ORG)
    assert again == first
    assert again.deletion is not None
    assert again.deletion.erase_at - again.deletion.deleted_at == DEFAULT_GRACE
    assert (await world.audited())[-1] == "org.delete"
    assert (await world.audited()).count("org.delete") == 1


async def test_deleted_org_accepts_no_credential_and_all_of_them_when_it_is_restored(
    world: World,
) -> None:
    account = await world.accounts.create(world.owner, "ci")
    await world.roles.bind(
        world.owner,
        NewBinding(kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role=VIEWER),
    )
    created = await world.accounts.create_key(world.owner, account.id)
    assert created.secret is not None
    key = (created.key.client_id, created.secret)
    invited = await world.invitations.create(world.owner, NewInvitation(role=VIEWER))
    assert invited.token is not None
    await world.orgs.allow_email_domain(operator(), "acme.example", VIEWER)
    bob = await world.log_in("bob", email="bob@acme.example")
    ada = await world.log_in("ada", email="ada@acme.example")
    assert await world.keys.check(*key) is not None

    await delete(world)
    told = "org acme was deleted on .*; the operator can restore it until .* UTC"
    for subject in (ada.subject, account.subject):
        with pytest.raises(UnauthenticatedError, match=told):
            await world.callers(ORG, subject)
    assert await world.keys.check(*key) is None
    assert not await world.orgs.admits(ORG, OrgName(""))
    with pytest.raises(NotFoundError, match="invitation"):
        await world.invitations.accept(bob, invited.token)
    assert await world.invitations.list_joinable(bob) == []
    with pytest.raises(NotFoundError, match="org acme not found"):
        await world.invitations.join_by_email(bob, ORG)
    with pytest.raises(ConflictError, match="with `volary org restore`"):
        await world.invitations.create_owner_link(operator())
    with pytest.raises(AlreadyExistsError, match="no other one gets its name"):
        await world.orgs.create(world.owner, ORG)
    assert (await world.orgs.list_mine(world.owner))[0] == []

    await deletion_of(world).restore(operator())
    assert (await world.callers(ORG, ada.subject)).grants
    assert await world.keys.check(*key) is not None
    assert await world.invitations.accept(bob, invited.token) == ORG
    assert [each.org for each in (await world.orgs.list_mine(world.owner))[0]] == [ORG]
    assert (await world.audited())[-2:] == ["org.restore", "member.join"]
    with pytest.raises(ConflictError, match="org acme is not deleted"):
        await deletion_of(world).restore(operator())


async def test_logins_of_a_deleted_org_end_and_those_of_others_stay(world: World) -> None:
    families = TokenFamilies(world.database, world.clock)
    await world.orgs.create(world.owner, OTHER)
    mine, elsewhere = Login(ORG, world.owner.subject, ORG), Login(OTHER, world.owner.subject, OTHER)
    for login in (mine, elsewhere):
        await families.start(uuid4(), login, "flyte")
    await delete(world)
    revocations = LoginRevocations(world.database, world.clock)
    await LoginRevocationLoop(revocations, world.clock, every=NEVER).run_once()
    assert await families.list_live(mine) == []
    assert len(await families.list_live(elsewhere)) == 1
    with pytest.raises(NotAllowedError, match="org acme was deleted"):
        await families.start(uuid4(), mine, "flyte")


async def test_runs_of_a_deleted_org_are_aborted_in_pages_and_its_tasks_refused_at_once(
    world: World, store: Store
) -> None:
    await add_cluster(world)
    wide = await store.create(make_new_run("wide"))
    await add_children(world.database, wide, 1_500)
    leased = await store.create(make_new_run("leased"))
    [assignment] = [each for each in await store.claim(10) if each.key.run.name == "leased"]
    async with world.database.for_org(ORG) as tx:
        accept = text("UPDATE dispatches SET accepted_at = now() WHERE lease_id IS NOT NULL")
        await tx.execute(accept)
    lease = (assignment.attempt.action, LeaseId(assignment.lease))
    async with world.database.for_org(ORG) as tx:
        assert await find_running(tx, [lease])
        assert await find_scope_of_lease(tx, ClusterName("c1"), assignment.attempt, lease[1])
    await delete(world)
    async with world.database.for_org(ORG) as tx:
        assert not await find_running(tx, [lease])
        gets_secrets = find_scope_of_lease(tx, ClusterName("c1"), assignment.attempt, lease[1])
        assert await gets_secrets is None
    async with world.database.for_fleet("test") as fleet:
        assert not await list_still_running(fleet, [(ORG, *lease)])
    await loop_of(world).stop_once()
    cascades = Cascades(world.database, lambda _: None, world.clock, every=NEVER)  # type: ignore[arg-type,return-value]
    await cascades.run_once()
    assert await store.phase(leased) is Phase.ABORTED
    detail = await store.detail(wide)
    assert (detail.row.phase, detail.row.abort_reason) == (Phase.ABORTED, "the org was deleted")
    async with world.database.for_org(ORG) as tx:
        counted = text("SELECT count(*) AS n FROM actions WHERE phase <> :aborted")
        live = await tx.rows(counted, {"aborted": Phase.ABORTED.value})
        assert live[0].n == 0
        stops = text("SELECT count(*) AS n FROM dispatches WHERE stop_reason IS NULL")
        assert (await tx.rows(stops))[0].n == 0


async def test_agents_of_a_deleted_org_get_no_work_stop_what_they_run_and_are_refused_then(
    world: World, store: Store
) -> None:
    await add_cluster(world)
    sessions = AgentSessions(world.database, world.clock)
    await store.create(make_new_run("one"))
    session = await sessions.open(await sessions.authenticate(TOKEN), AGENT)
    assert (await sessions.hand_out(session, 1, FairScheduler())).assignments
    await store.create(make_new_run("two"))
    await delete(world)
    handed = await sessions.hand_out(session, 1, FairScheduler())
    assert not handed.assignments
    assert (handed.spec.cordoned, handed.spec.end_attempts) == (True, "the org was deleted")
    async with running(sessions):  # a heartbeat tells the same
        await asyncio.sleep(0)  # the batches are taken from the first step on
        assert await sessions.record_heartbeat(session, AgentLoad()) == handed.spec
    await loop_of(world).stop_once()
    assert len((await sessions.hand_out(session, 1, FairScheduler())).stops) == 1
    again = await sessions.open(await sessions.authenticate(TOKEN), AGENT)  # it may reconnect
    async with world.database.for_org(ORG) as tx:  # its agent reports the stop
        await tx.execute(text("DELETE FROM dispatches"))
    await loop_of(world).stop_once()
    with pytest.raises(SupersededError):
        await sessions.hand_out(again, 1, FairScheduler())
    with pytest.raises(ExpelledAgentError, match=r"org acme was deleted on .*uninstall") as refused:
        await sessions.authenticate(TOKEN)
    assert refused.value.retry_after == AGENTS_RETURN_AFTER
    epoch = text("SELECT epoch FROM clusters")
    async with world.database.for_org(ORG) as tx:
        before = (await tx.execute(epoch)).scalar_one()
    await loop_of(world).stop_once()
    async with world.database.for_org(ORG) as tx:
        assert (await tx.execute(epoch)).scalar_one() == before

    await deletion_of(world).restore(operator())
    session = await sessions.open(await sessions.authenticate(TOKEN), AGENT)
    restored = (await sessions.hand_out(session, 0, FairScheduler())).spec
    assert (restored.cordoned, restored.end_attempts) == (False, "")


async def test_agents_of_a_deleted_org_that_do_not_stop_are_refused_after_their_time(
    world: World, store: Store
) -> None:
    await add_cluster(world)
    sessions = AgentSessions(world.database, world.clock)
    await store.create(make_new_run("one"))
    session = await sessions.open(await sessions.authenticate(TOKEN), AGENT)
    await sessions.hand_out(session, 1, FairScheduler())
    await delete(world)
    world.clock.advance(AGENTS_STOP_WITHIN - timedelta(seconds=1))
    await loop_of(world).stop_once()
    assert (await sessions.authenticate(TOKEN)).name == CLUSTER
    world.clock.advance(timedelta(seconds=1))
    with pytest.raises(UnauthenticatedError, match="org acme was deleted"):
        await sessions.authenticate(TOKEN)
    await loop_of(world).stop_once()
    with pytest.raises(SupersededError):
        await sessions.hand_out(session, 1, FairScheduler())


async def test_agents_of_a_deleted_org_are_cut_off_at_once_by_every_replica_unless_they_have_to_stop(
    world: World, store: Store, database_url: str
) -> None:
    """The loops wait an hour and the clock stands still: only the notification wakes them."""
    await add_cluster(world)
    sessions = AgentSessions(world.database, world.clock)
    session = await sessions.open(await sessions.authenticate(TOKEN), AGENT)
    wakeup = Wakeup()
    async with AsyncExitStack() as replicas:
        for _ in range(2):
            feeds = Feeds(world.database, partial(listen, database_url))
            orgs = DeletedOrgs(world.database, None, world.clock)
            loop = DeletedOrgLoop(orgs, feeds, StandingClock(world.clock.now()), every=NEVER)
            await replicas.enter_async_context(running(feeds))
            await replicas.enter_async_context(running(loop))
            replicas.enter_context(feeds.work(ORG, CLUSTER, wakeup))
        await delete(world)

        async def is_refused() -> bool:
            try:
                await sessions.authenticate(TOKEN)
            except UnauthenticatedError:
                return True
            return False

        await until(is_refused, "the agent is refused")
        await wakeup.wait(timedelta(minutes=1))  # its stream asks for work again
        with pytest.raises(SupersededError):
            await sessions.hand_out(session, 1, FairScheduler())

        await deletion_of(world).restore(operator())
        session = await sessions.open(await sessions.authenticate(TOKEN), AGENT)
        await store.create(make_new_run("one"))
        assert (await sessions.hand_out(session, 1, FairScheduler())).assignments
        await delete(world)

        async def has_stop() -> bool:
            return len((await sessions.hand_out(session, 1, FairScheduler())).stops) == 1

        await until(has_stop, "the agent is told to stop")
        assert (await sessions.authenticate(TOKEN)).name == CLUSTER
