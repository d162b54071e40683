"""Renewal has two phases, and survives the death of either side between any two steps."""

from datetime import timedelta

import pytest

from controlplane.authn.agent_authority import PUBLISHED_BEFORE, ROTATE_EVERY, AuthoritySet
from controlplane.authn.sealing import Sealer
from controlplane.core.agent_identity import CERTIFICATE_LIFE, Refusal
from controlplane.core.errors import (
    ConflictError,
    InvalidError,
    UnauthenticatedError,
    UnfitDatabaseError,
)
from controlplane.usecases.agent_sessions import RefusedCertificateError
from controlplane.usecases.agents.authorities import AgentAuthorities
from shared.kit.secrets import SecretBytes
from shared.model.ids import ClusterName
from tests.integration.agent_identity.conftest import SEALING_KEY, AgentKey, IdentityWorld


async def test_old_certificate_is_valid_until_a_session_confirms_the_new_one(
    world: IdentityWorld,
) -> None:
    old = await world.certify(AgentKey())
    await world.open(old)
    new = await world.renew(old, AgentKey())
    await world.open(old)  # the agent died before it stored the new one
    await world.open(new)
    with pytest.raises(UnauthenticatedError, match="newer certificate"):
        await world.identities.find(old.fingerprint)
    await world.open(new, "two")  # the agent died after the confirmation


async def test_repeated_renewal_with_the_same_key_gives_the_same_certificate(
    world: IdentityWorld,
) -> None:
    old, key = await world.certify(AgentKey()), AgentKey()
    await world.open(old)
    assert await world.renew(old, key) == await world.renew(old, key)


async def test_certificate_whose_key_was_lost_is_dead_after_the_next_renewal(
    world: IdentityWorld,
) -> None:
    old = await world.certify(AgentKey())
    await world.open(old)
    lost = await world.renew(old, AgentKey())
    await world.renew(old, AgentKey())
    with pytest.raises(UnauthenticatedError, match="does not know this certificate"):
        await world.identities.find(lost.fingerprint)


async def test_renewal_takes_a_new_key_and_a_session_first(world: IdentityWorld) -> None:
    key = AgentKey()
    old = await world.certify(key)
    with pytest.raises(ConflictError, match="open a session"):
        await world.renew(old, AgentKey())
    await world.open(old)
    with pytest.raises(InvalidError, match="new key"):
        await world.renew(old, key)


async def test_expired_certificate_is_refused_with_the_remedy(world: IdentityWorld) -> None:
    old = await world.certify(AgentKey())
    await world.open(old)
    identity = await world.identities.find(old.fingerprint)
    world.clock.advance(CERTIFICATE_LIFE)
    with pytest.raises(UnauthenticatedError, match=r"has expired.*join-token"):
        await world.open(old)
    with pytest.raises(UnauthenticatedError, match="has expired"):
        await world.identities.renew(identity, AgentKey().request)


async def test_restarted_agent_is_no_clone(world: IdentityWorld) -> None:
    certificate = await world.certify(AgentKey())
    for instance in ("one", "two", "two", "three"):
        await world.open(certificate, instance)
    assert (await world.clusters.get(world.operator, ClusterName("c1"))).cloned_at is None


async def test_clone_is_refused_named_and_shut_out_by_the_next_renewal(
    world: IdentityWorld,
) -> None:
    certificate = await world.certify(AgentKey())
    await world.open(certificate, "one")
    session = await world.open(certificate, "two")
    with pytest.raises(RefusedCertificateError, match="key was copied") as refused:
        await world.open(certificate, "one")  # so both processes are alive
    assert refused.value.refusal is Refusal.CLONED
    status = await world.clusters.get(world.operator, ClusterName("c1"))
    assert status.cloned_at == world.clock.now()
    assert status.cloned == "instance one was refused, instance two has the session"
    spec = (await world.sessions.hand_out(session, 0, None)).spec  # type: ignore[arg-type]
    assert spec.renew_serial == certificate.serial
    new = await world.renew(certificate, AgentKey())
    session = await world.open(new, "two")
    for instance in ("one", "a restart of one"):
        with pytest.raises(RefusedCertificateError, match="key was copied"):
            await world.open(certificate, instance)
    spec = (await world.sessions.hand_out(session, 0, None)).spec  # type: ignore[arg-type]
    assert spec.renew_serial == ""
    assert await world.audited("cluster.clone") == 1
    await world.enrolments.revoke(world.operator, "c1")
    assert (await world.clusters.get(world.operator, ClusterName("c1"))).cloned_at is None


async def test_agent_that_missed_the_answer_to_its_new_certificate_is_no_clone(
    world: IdentityWorld,
) -> None:
    old = await world.certify(AgentKey())
    await world.open(old, "one")
    await world.open(await world.renew(old, AgentKey()), "one")
    with pytest.raises(RefusedCertificateError) as refused:
        await world.open(old, "one")
    assert refused.value.refusal is Refusal.RETIRED
    assert (await world.clusters.get(world.operator, ClusterName("c1"))).cloned_at is None


async def test_authorities_overlap_when_they_rotate(world: IdentityWorld) -> None:
    first = world.known.current(world.clock.now())
    old = await world.certify(AgentKey())
    world.clock.advance(ROTATE_EVERY - PUBLISHED_BEFORE)
    other = AuthoritySet()
    replica = AgentAuthorities(world.database, Sealer([SEALING_KEY]), other, world.clock)
    assert await world.authorities.refresh()
    assert not await replica.refresh()
    assert world.known.roots() == other.roots()
    assert world.known.roots().count(b"BEGIN CERTIFICATE") == 2
    assert world.known.current(world.clock.now()).id == first.id
    world.clock.advance(PUBLISHED_BEFORE)
    assert world.known.current(world.clock.now()).id != first.id
    assert old.authority == first.id
    world.clock.advance(CERTIFICATE_LIFE + timedelta(days=7))
    await world.authorities.refresh()
    assert world.known.roots().count(b"BEGIN CERTIFICATE") == 1


async def test_replaced_authority_is_trusted_no_longer(world: IdentityWorld) -> None:
    before = world.known.roots()
    await world.authorities.replace()
    assert before not in world.known.roots()
    assert world.known.roots().count(b"BEGIN CERTIFICATE") == 1


async def test_authority_is_sealed_again_with_a_new_sealing_key(world: IdentityWorld) -> None:
    new = SecretBytes(b"n" * 32)
    known = AuthoritySet()
    await AgentAuthorities(world.database, Sealer([new, SEALING_KEY]), known, world.clock).refresh()
    only_new = AgentAuthorities(world.database, Sealer([new]), AuthoritySet(), world.clock)
    assert not await only_new.refresh()
    other = AgentAuthorities(
        world.database, Sealer([SecretBytes(b"o" * 32)]), AuthoritySet(), world.clock
    )
    with pytest.raises(UnfitDatabaseError, match="VOLARY_SEALING_KEY"):
        await other.refresh()
