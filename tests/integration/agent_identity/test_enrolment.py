"""A join token serves one key, once, in its time; an operator decides, and can take it back."""

import asyncio
from typing import Any

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from controlplane.authn.agent_authority import name_key
from controlplane.core.agent_identity import ACCEPT_WITHIN, JOIN_TOKEN_LIFE, EnrolmentState
from controlplane.core.callers import Caller, Permission, Subject, org_wide
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    UnauthenticatedError,
)
from controlplane.usecases.agent_sessions import SupersededError
from shared.kit.secrets import SecretText, digest_of, new_secret
from tests.factories import ORG
from tests.integration.agent_identity.conftest import AgentKey, IdentityWorld


async def test_join_token_gives_a_certificate_for_its_own_cluster_only(
    world: IdentityWorld,
) -> None:
    key = AgentKey()
    certificate = await world.certify(key)
    parsed = x509.load_pem_x509_certificate(certificate.pem.encode())
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"volary://{ORG}/c1"]
    assert not parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    identity = await world.identities.find(certificate.fingerprint)
    assert (identity.cluster.org, identity.cluster.name) == (ORG, "c1")


async def test_join_token_is_stored_as_a_digest_only(
    world: IdentityWorld, database_url: str
) -> None:
    token = await world.new_cluster()
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ROLE volary_fleet")
    rows = await connection.fetch("SELECT * FROM agent_enrolments")
    audited = await connection.fetch("SELECT * FROM audit_log")
    await connection.close()
    assert [row["digest"] for row in rows] == [digest_of(token)]
    assert token.reveal() not in str(rows) + str(audited)


async def test_lost_answer_is_repeated_for_the_same_key(world: IdentityWorld) -> None:
    token, key = await world.new_cluster(), AgentKey()
    first, again = await world.enrol(token, key), await world.enrol(token, key)
    assert first.certificate == again.certificate
    assert first.certificate is not None


async def test_join_token_is_refused_for_a_second_key(world: IdentityWorld) -> None:
    token = await world.new_cluster()
    await world.enrol(token, AgentKey())
    with pytest.raises(UnauthenticatedError, match="used by another key"):
        await world.enrol(token, AgentKey())


async def test_of_many_keys_at_once_one_gets_the_certificate(world: IdentityWorld) -> None:
    token = await world.new_cluster()
    answers = await asyncio.gather(
        *(world.enrol(token, AgentKey()) for _ in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(each, BaseException) for each in answers) == 1
    assert all(
        isinstance(each, UnauthenticatedError)
        for each in answers
        if isinstance(each, BaseException)
    )


async def test_join_token_is_dead_once_its_certificate_is_in_use(world: IdentityWorld) -> None:
    token, key = await world.new_cluster(), AgentKey()
    enrolled = await world.enrol(token, key)
    assert enrolled.certificate is not None
    await world.open(enrolled.certificate)
    with pytest.raises(UnauthenticatedError, match="served its purpose"):
        await world.enrol(token, key)


async def test_join_token_expires(world: IdentityWorld) -> None:
    token = await world.new_cluster()
    world.clock.advance(JOIN_TOKEN_LIFE)
    with pytest.raises(UnauthenticatedError, match="has expired"):
        await world.enrol(token, AgentKey())


async def test_unknown_join_token_is_refused(world: IdentityWorld) -> None:
    with pytest.raises(UnauthenticatedError, match="no such join token"):
        await world.enrol(new_secret(), AgentKey())


async def test_join_token_of_another_org_makes_an_agent_of_that_org(world: IdentityWorld) -> None:
    await world.certify(AgentKey(), "c1")
    theirs = await world.certify(AgentKey(), "c1", by=world.other_operator)
    identity = await world.identities.find(theirs.fingerprint)
    assert identity.cluster.org == world.other_operator.org
    assert [each.cluster for each in await world.enrolments.list(world.operator)] == ["c1"]


async def test_agent_waits_until_an_operator_accepts_its_key(world: IdentityWorld) -> None:
    made = await world.enrolments.create_cluster(world.operator, "c1", pool="gpus")
    key = AgentKey()
    assert made.token is not None
    waiting = await world.enrol(made.token, key)
    assert waiting.certificate is None
    world.clock.advance(JOIN_TOKEN_LIFE)  # the token's time is over, the wait's is not
    with pytest.raises(NotFoundError, match="waiting agent"):
        await world.enrolments.accept(world.operator, "c1", key="SHA256:of-another-key")
    with pytest.raises(NotFoundError, match="cluster c1 not found"):
        await world.enrolments.accept(world.other_operator, "c1")
    accepted = await world.enrolments.accept(world.operator, "c1", key=waiting.key)
    assert accepted.accepted_by == world.operator.subject
    assert (await world.enrol(made.token, key)).certificate is not None
    assert (await world.clusters.get(world.operator, accepted.cluster)).pool == "gpus"
    await world.enrolments.accept(world.operator, "c1")  # idempotent
    assert await world.audited("cluster.accept") == 1


async def test_agent_is_not_accepted_after_a_day(world: IdentityWorld) -> None:
    made = await world.enrolments.create_cluster(world.operator, "c1")
    key = AgentKey()
    assert made.token is not None
    await world.enrol(made.token, key)
    world.clock.advance(ACCEPT_WITHIN)
    with pytest.raises(UnauthenticatedError, match="not accepted in time"):
        await world.enrol(made.token, key)
    with pytest.raises(NotFoundError):
        await world.enrolments.accept(world.operator, "c1")


async def test_operator_names_the_key_when_two_agents_wait(world: IdentityWorld) -> None:
    first = await world.enrolments.create_cluster(world.operator, "c1")
    second = await world.enrolments.create_token(world.operator, "c1")
    assert first.token is not None
    assert second.token is not None
    await world.enrol(first.token, AgentKey())
    chosen = AgentKey()
    waiting = await world.enrol(second.token, chosen)
    with pytest.raises(ConflictError, match="several agents wait"):
        await world.enrolments.accept(world.operator, "c1")
    await world.enrolments.accept(world.operator, "c1", key=waiting.key)
    states = [
        each.state(world.clock.now()) for each in await world.enrolments.list(world.operator, "c1")
    ]
    assert states == [EnrolmentState.ACCEPTED]


async def test_new_agent_replaces_the_old_one_of_its_cluster(world: IdentityWorld) -> None:
    old = await world.certify(AgentKey())
    session = await world.open(old)
    made = await world.enrolments.create_token(world.operator, "c1", auto_accept=True)
    await world.identities.find(old.fingerprint)  # until the new one is accepted
    assert made.token is not None
    await world.enrol(made.token, AgentKey())
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        await world.identities.find(old.fingerprint)
    with pytest.raises(SupersededError):
        await world.sessions.commit_reports(session, [], [])


async def test_revoked_identity_can_commit_nothing(world: IdentityWorld) -> None:
    made = await world.enrolments.create_cluster(world.operator, "c1", auto_accept=True)
    open_token = await world.enrolments.create_token(world.operator, "c1", auto_accept=True)
    assert made.token is not None
    assert open_token.token is not None
    enrolled = await world.enrol(made.token, AgentKey())
    assert enrolled.certificate is not None
    session = await world.open(enrolled.certificate)
    assert await world.enrolments.revoke(world.operator, "c1") == 1
    with pytest.raises(SupersededError):
        await world.sessions.commit_reports(session, [], [])
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        await world.open(enrolled.certificate)
    with pytest.raises(UnauthenticatedError):
        await world.enrol(open_token.token, AgentKey())
    assert await world.enrolments.revoke(world.operator, "c1") == 0
    assert await world.audited("cluster.revoke") == 2


def _altered(key: AgentKey) -> bytes:
    raw = bytearray(key.request)
    at = raw.index(b"theirs/c1")
    raw[at : at + 9] = b"theirs/c2"
    return bytes(raw)


def _signed(private: Any, algorithm: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(private, algorithm)
    return request.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("request_bytes", "why"),
    [
        (_altered(AgentKey()), "it was altered"),
        (b"no request", "not a PKCS 10 request"),
        (b"", "not a PKCS 10 request"),
        (b"x" * 5000, "more than 4096 bytes"),
        (_signed(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()), "not of the curve"),
        (_signed(ed25519.Ed25519PrivateKey.generate(), None), "not of the curve"),
    ],
    ids=["altered", "garbage", "empty", "large", "P-384", "Ed25519"],
)
async def test_bad_signing_request_does_not_use_up_the_token(
    world: IdentityWorld, request_bytes: bytes, why: str
) -> None:
    token = await world.new_cluster()
    with pytest.raises(InvalidError, match=why):
        await world.enrolments.enrol(token, request_bytes, peer="", software="")
    assert (await world.enrol(token, AgentKey())).certificate is not None


async def test_cluster_is_created_once_and_a_repeated_request_shows_no_token(
    world: IdentityWorld,
) -> None:
    made = await world.enrolments.create_cluster(world.operator, "c1", request_id="r1")
    again = await world.enrolments.create_cluster(world.operator, "c1", request_id="r1")
    assert again.enrolment == made.enrolment
    assert again.token is None
    with pytest.raises(AlreadyExistsError, match="cluster c1 exists"):
        await world.enrolments.create_cluster(world.operator, "c1")
    for bad in ("", "C1", "a/b", "x" * 64):
        with pytest.raises(InvalidError):
            await world.enrolments.create_cluster(world.operator, bad)


async def test_callers_without_the_permission_change_no_cluster(world: IdentityWorld) -> None:
    await world.new_cluster()
    reader = Caller(
        subject=Subject("user:1"), org=ORG, name="", grants=org_wide([Permission.CLUSTER_READ])
    )
    for call in (
        lambda: world.enrolments.create_cluster(reader, "c2"),
        lambda: world.enrolments.create_token(reader, "c1"),
        lambda: world.enrolments.accept(reader, "c1"),
        lambda: world.enrolments.revoke(reader, "c1"),
    ):
        with pytest.raises(NotAllowedError):
            await call()


def test_key_is_named_as_ssh_names_keys() -> None:
    assert name_key(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def test_secret_of_a_join_token_is_not_printed() -> None:
    assert "abc" not in repr(SecretText("abc"))
