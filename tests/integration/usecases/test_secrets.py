"""Secrets: delivery to the cluster that runs the attempt, rotation of keys, callers' scopes."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Grant, Permission, Subject, org_wide
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    UnfitDatabaseError,
)
from controlplane.core.secrets import CLUSTERS, SecretType
from controlplane.store.resources.clusters import ClusterRef, save_cluster
from controlplane.usecases import secrets as usecase
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName, LeaseId, OrgName
from shared.model.secrets import MAX_VALUE_BYTES, SealedSecret, SecretName
from shared.secrets.envelopes import EnvelopeError, KeyringEnvelopes
from shared.secrets.key_pairs import make_private_key
from shared.secrets.keyrings import AesKey, PrivateKey
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.conftest import CLUSTER, Store, store

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
KEY, NEW_KEY = AesKey(SecretBytes(b"k" * 32)), AesKey(SecretBytes(b"n" * 32))
C2 = ClusterName("c2")
NAMED = frozenset(["token", "old", "new", "mine", *(f"s{number:02}" for number in range(200))])
"""Secrets that the task of every attempt names."""
DOCKER = SecretBytes(b'{"auths": {"r": {"auth": "dTpw"}}}')


def named(name: str = "token", project: str = "", domain: str = "") -> SecretName:
    return SecretName(org=ORG, project=project, domain=domain, name=name)


def secrets_of(store: Store, *keys: AesKey, to_clusters: bool = False) -> Secrets:
    keyring = SecretKeys(keys, to_clusters=to_clusters)
    return Secrets(store.database, SystemClock(), keyring, lambda _: NAMED)


async def create(secrets: Secrets, name: SecretName, value: bytes) -> None:
    await secrets.create(CALLER, name, SecretType.GENERIC, SecretBytes(value))


async def announce(store: Store, cluster: ClusterName = CLUSTER) -> PrivateKey:
    """Store a new public key for the cluster, as its agent's hello does; return the pair."""
    pair = make_private_key()
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE clusters SET secrets_key = :key WHERE org = :org AND cluster = :cluster"),
            {"key": pair.public.der, "cluster": cluster},
        )
    return pair


async def lease(store: Store, run: str = "r1") -> Assignment:
    await store.create(make_new_run(run))
    [assignment] = await store.claim()
    return assignment


async def deliver(
    secrets: Secrets, assignment: Assignment, *asked: str, cluster: ClusterName = CLUSTER
) -> Sequence[SealedSecret]:
    return await secrets.deliver(
        ClusterRef(ORG, cluster), assignment.attempt, assignment.lease, asked
    )


async def opened(pair: PrivateKey, delivery: SealedSecret) -> bytes:
    assert delivery.name is not None
    value = await KeyringEnvelopes(openers=[pair]).open(delivery.name, delivery.envelope)
    return value.reveal()


async def test_delivered_secret_is_of_the_narrowest_scope(store: Store) -> None:
    secrets, pair, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    run = assignment.key.run
    scopes = [(), ("", run.domain), (run.project, run.domain)]
    for scope in (("", "staging"), *scopes):
        await create(secrets, named("token", *scope), repr(scope).encode())

    for scope in reversed(scopes):
        [delivery] = await deliver(secrets, assignment, "token")
        assert await opened(pair, delivery) == repr(scope).encode()
        await secrets.delete(CALLER, named("token", *scope))

    [missing] = await deliver(secrets, assignment, "token")
    assert (missing.name, missing.envelope, missing.problem) == (None, b"", "")


async def test_delivered_envelope_opens_with_the_clusters_key_only(store: Store) -> None:
    secrets, pair, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named(), b"value")

    [delivery] = await deliver(secrets, assignment, "token")

    assert await opened(pair, delivery) == b"value"
    for keys in ([make_private_key()], [KEY]):
        with pytest.raises(EnvelopeError):
            await KeyringEnvelopes(openers=keys).open(named(), delivery.envelope)


async def test_update_reaches_the_next_delivery(store: Store) -> None:
    secrets, pair, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named(), b"old")
    await secrets.update(CALLER, named(), SecretType.GENERIC, SecretBytes(b"new"))

    [delivery] = await deliver(secrets, assignment, "token")

    assert await opened(pair, delivery) == b"new"
    assert (await secrets.get(CALLER, named())).row.version == 2


async def test_secret_is_refused_to_a_cluster_without_the_lease(store: Store) -> None:
    secrets, _, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named(), b"value")
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, C2, b"digest 2", NOW)

    with pytest.raises(NotFoundError):
        await deliver(secrets, assignment, "token", cluster=C2)
    with pytest.raises(NotFoundError):
        await deliver(secrets, replace(assignment, lease=LeaseId(uuid4())), "token")
    with pytest.raises(NotFoundError):
        await secrets.deliver(
            ClusterRef(OrgName("other"), CLUSTER), assignment.attempt, assignment.lease, ["token"]
        )


async def test_secret_that_the_task_does_not_name_is_refused(store: Store) -> None:
    secrets, _, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named("of-another-task"), b"value")

    with pytest.raises(InvalidError, match="does not name secret 'of-another-task'"):
        await deliver(secrets, assignment, "token", "of-another-task")


async def test_image_pull_secrets_are_delivered_latest_first(store: Store) -> None:
    secrets, pair, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    for name in ("a", "b"):
        await secrets.create(CALLER, named(name), SecretType.IMAGE_PULL, DOCKER)
    await create(secrets, named("plain"), b"value")
    await secrets.update(CALLER, named("a"), SecretType.GENERIC, DOCKER)

    found = await secrets.deliver_image_pull(
        ClusterRef(ORG, CLUSTER), assignment.attempt, assignment.lease
    )

    assert [each.asked for each in found] == ["a", "b"]
    assert await opened(pair, found[0]) == DOCKER.reveal()


async def test_delivery_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets, _, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named(), b"x" * MAX_VALUE_BYTES)

    assert (await deliver(secrets, assignment, "token"))[0].envelope
    with pytest.raises(InvalidError, match="at most 100"):
        await deliver(secrets, assignment, *[f"s{number:02}" for number in range(101)])
    monkeypatch.setattr(usecase, "MAX_DELIVERED_BYTES", 1000)
    with pytest.raises(ExhaustedError, match="at most 1000"):
        await deliver(secrets, assignment, "token")


async def test_agent_without_a_key_is_named(store: Store) -> None:
    secrets, assignment = secrets_of(store, KEY), await lease(store)
    await create(secrets, named(), b"value")

    [delivery] = await deliver(secrets, assignment, "token")

    assert "upgrade the agent" in delivery.problem


async def test_control_plane_cannot_open_what_it_sealed_to_clusters(store: Store) -> None:
    secrets, assignment = secrets_of(store, KEY, to_clusters=True), await lease(store)
    with pytest.raises(NotReadyError, match="connect an agent"):
        await create(secrets, named(), b"value")
    pair = await announce(store)
    await create(secrets, named(), b"value")

    [delivery] = await deliver(secrets, assignment, "token")

    assert await opened(pair, delivery) == b"value"
    assert (await secrets.get(CALLER, named())).row.keyring == CLUSTERS
    with pytest.raises(EnvelopeError):
        await KeyringEnvelopes([KEY], [KEY]).open(named(), delivery.envelope)


async def test_secret_sealed_before_a_cluster_joined_asks_for_an_update(store: Store) -> None:
    secrets, assignment = secrets_of(store, KEY, to_clusters=True), await lease(store)
    await announce(store)
    await create(secrets, named(), b"value")
    pair = await announce(store)  # the cluster lost its key and has made another

    [before] = await deliver(secrets, assignment, "token")
    resealed = await secrets.reseal()
    await secrets.update(CALLER, named(), SecretType.GENERIC, SecretBytes(b"again"))
    [after] = await deliver(secrets, assignment, "token")

    assert "volary secret update token" in before.problem
    assert resealed.left == [named()]
    assert await opened(pair, after) == b"again"


async def test_reseal_moves_all_secrets_to_the_new_key_while_both_open(store: Store) -> None:
    old, both = secrets_of(store, KEY), secrets_of(store, NEW_KEY, KEY)
    pair, assignment = await announce(store), await lease(store)
    names = [f"s{number:02}" for number in range(45)]  # more than two pages
    for name in names:
        await create(old, named(name), name.encode())
    await create(both, named("newer"), b"newer")

    [before] = await deliver(both, assignment, "s07")
    first, second = await both.reseal(), await both.reseal()
    found = await deliver(secrets_of(store, NEW_KEY), assignment, *names)

    assert await opened(pair, before) == b"s07"
    assert (first.resealed, first.current, second.resealed) == (45, 1, 0)
    assert [await opened(pair, each) for each in found] == [name.encode() for name in names]
    assert (await both.get(CALLER, named("s07"))).row.version == 1


async def test_reseal_moves_secrets_to_clusters_and_back_by_update_only(store: Store) -> None:
    own, sealed = secrets_of(store, KEY), secrets_of(store, KEY, to_clusters=True)
    pair, assignment = await announce(store), await lease(store)
    await create(own, named(), b"value")

    assert (await sealed.reseal()).resealed == 1
    [delivery] = await deliver(sealed, assignment, "token")
    back = await own.reseal()

    assert await opened(pair, delivery) == b"value"
    assert back.left == [named()]


async def test_wrong_master_key_is_named_at_the_start(store: Store) -> None:
    await secrets_of(store, KEY).require_keys()
    await create(secrets_of(store, KEY), named(), b"value")

    await secrets_of(store, NEW_KEY, KEY).require_keys()
    for keys in ((), (NEW_KEY,)):
        with pytest.raises(UnfitDatabaseError, match="VOLARY_SECRETS_KEY_FILE") as refused:
            await secrets_of(store, *keys).require_keys()
        assert KEY.name in str(refused.value)


async def test_secret_with_a_lost_key_is_a_problem_of_that_secret_only(store: Store) -> None:
    _, assignment = await announce(store), await lease(store)
    await create(secrets_of(store, KEY), named("old"), b"value")
    secrets = secrets_of(store, NEW_KEY)
    await create(secrets, named("new"), b"value")

    old, new = await deliver(secrets, assignment, "old", "new")

    assert KEY.name in old.problem
    assert new.envelope


async def test_envelope_moved_to_another_row_does_not_open(store: Store) -> None:
    secrets, _, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named("mine"), b"mine")
    await create(secrets, named("theirs"), b"theirs")
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text(
                "UPDATE secrets SET envelope = (SELECT envelope FROM secrets WHERE name = 'theirs')"
                " WHERE name = 'mine'"
            )
        )

    [delivery] = await deliver(secrets, assignment, "mine")

    assert not delivery.envelope
    assert delivery.problem


async def test_creating_without_a_keyring_names_the_settings(store: Store) -> None:
    with pytest.raises(NotReadyError, match="VOLARY_SECRETS_KEY_FILE"):
        await create(secrets_of(store), named(), b"value")


async def test_org_has_a_limit_of_secrets(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usecase, "MAX_SECRETS", 2)
    secrets = secrets_of(store, KEY)
    await create(secrets, named("a"), b"value")
    await create(secrets, named("b"), b"value")

    with pytest.raises(ExhaustedError, match="at most 2"):
        await create(secrets, named("c"), b"value")


async def test_creation_that_another_caller_won_changes_nothing(store: Store) -> None:
    secrets, pair, assignment = secrets_of(store, KEY), await announce(store), await lease(store)
    await create(secrets, named(), b"first")
    with pytest.raises(AlreadyExistsError):
        await create(secrets, named(), b"second")

    [delivery] = await deliver(secrets, assignment, "token")

    assert await opened(pair, delivery) == b"first"


async def test_caller_of_a_project_sees_and_changes_its_secrets_only(store: Store) -> None:
    secrets = secrets_of(store, KEY)
    await create(secrets, named("of-org"), b"value")
    await create(secrets, named("of-domain", "", "development"), b"value")
    await create(secrets, named("of-p", "p", "development"), b"value")
    member = replace(CALLER, grants=(Grant(EVERYTHING, "p", "development"),))
    reader = replace(CALLER, grants=(Grant(frozenset({Permission.SECRET_READ}), "p"),))

    for caller in (member, reader):
        page = await secrets.list(caller, project="", domain="", limit=10, token="")
        assert [each.row.name.name for each in page.rows] == ["of-p"]
        for wide in (named("of-org"), named("of-domain", "", "development")):
            with pytest.raises(NotAllowedError):
                await secrets.get(caller, wide)
            with pytest.raises(NotAllowedError):
                await secrets.delete(caller, wide)
    with pytest.raises(NotAllowedError):
        await secrets.update(
            reader, named("of-p", "p", "development"), SecretType.GENERIC, SecretBytes(b"x")
        )
    with pytest.raises(NotFoundError):
        await secrets.get(member, named("of-p", "p", "production"))
    await secrets.delete(member, named("of-p", "p", "development"))
