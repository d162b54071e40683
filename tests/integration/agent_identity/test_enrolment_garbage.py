"""Garbage on the enrolment port, with and without a valid join token, is refused and is no bug."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from random import Random

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from controlplane.store.database import Database
from shared.idl.agent.v1 import enrolment_pb2
from shared.kit.secrets import new_secret
from tests.integration.agent_identity.conftest import AgentKey
from tests.integration.agent_identity.test_tls import authority, database
from tests.integration.agent_identity.tls_world import Replica, replica_serving, show
from tests.integration.link.test_garbage import bugs
from tests.kube.certificates import Authority

__all__ = ["authority", "database"]

MUTATIONS = 250
ENROL, RENEW = "Enrol", "Renew"
REFUSED = frozenset({"INVALID_ARGUMENT", "UNAUTHENTICATED", "ABORTED", "FAILED_PRECONDITION"})


@pytest.fixture
async def replica(
    database: Database, database_url: str, authority: Authority
) -> AsyncIterator[Replica]:
    authority.certificate.with_name("bundle.crt").write_bytes(authority.certificate.read_bytes())
    async with replica_serving(
        database, database_url, show(authority), authority.certificate
    ) as opened:
        yield opened


class Caller:
    """A client of the enrolment service that sends any bytes, on one connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def send(self, method: str, raw: bytes) -> str:
        """Return the status of a call."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/volary.agent.v1.EnrolmentService/{method}"
        )
        try:
            await call(raw, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"


def mutate(chance: Random, seed: bytes) -> bytes:
    """Change, cut or repeat a few bytes."""
    changed = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                del changed[at:]
            case 1:
                changed[at:at] = changed[at : at + chance.randint(1, 40)]
            case _:
                changed[at] = chance.randrange(256)
        if not changed:
            return b""
    return bytes(changed)


async def test_mutated_requests_are_refused_and_the_token_still_works(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    chance, key, token = Random(9), AgentKey(), await replica.token()
    request = enrolment_pb2.EnrolRequest(
        join_token=token.reveal(), signing_request=key.request, software="a test"
    )
    async with replica.channel(replica.enrolment) as channel:
        caller = Caller(channel)
        for number in range(MUTATIONS):
            if chance.random() < 0.5:  # the token is right, and the signing request is not
                sent = enrolment_pb2.EnrolRequest()
                sent.CopyFrom(request)
                sent.signing_request = mutate(chance, key.request)
                if sent.signing_request == key.request:
                    continue
                raw = sent.SerializeToString()
            else:
                raw = mutate(chance, request.SerializeToString())
            if enrolment_pb2.EnrolRequest.FromString(request.SerializeToString()) == _parse(raw):
                continue
            method = ENROL if chance.random() < 0.8 else RENEW
            status = await caller.send(method, raw)
            is_harmless = method == ENROL and _differs_in_its_name_only(raw, request)
            assert status in REFUSED or is_harmless, (number, method, status, raw)
            assert not bugs(caplog), (number, method, raw, bugs(caplog))
            caplog.clear()
    reply = await replica.enrol(token, key)
    assert reply.WhichOneof("result") == "certificate"


def _parse(raw: bytes) -> enrolment_pb2.EnrolRequest | None:
    try:
        return enrolment_pb2.EnrolRequest.FromString(raw)
    except Exception:  # noqa: BLE001 -- protobuf's DecodeError has two homes
        return None


def _differs_in_its_name_only(raw: bytes, request: enrolment_pb2.EnrolRequest) -> bool:
    """Return whether a mutation left the token and the signing request as they were."""
    parsed = _parse(raw)
    return (
        parsed is not None
        and parsed.join_token == request.join_token
        and parsed.signing_request == request.signing_request
    )


def _request_of(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


KEYS: dict[str, Callable[[], bytes]] = {
    "RSA": lambda: _request_of(rsa.generate_private_key(65537, 2048)),
    "Ed25519": lambda: _request_of(ed25519.Ed25519PrivateKey.generate()),
    "P-384": lambda: _request_of(ec.generate_private_key(ec.SECP384R1())),
    "nothing": lambda: b"",
    "PEM": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n",
    "a megabyte": lambda: b"\x30\x83\x0f\xff\xff" + bytes(1_000_000),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_signing_request_of_another_key_is_refused_before_the_token_is_used(
    replica: Replica, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    token = await replica.token()
    raw = enrolment_pb2.EnrolRequest(
        join_token=token.reveal(), signing_request=KEYS[kind]()
    ).SerializeToString()
    async with replica.channel(replica.enrolment) as channel:
        assert await Caller(channel).send(ENROL, raw) == "INVALID_ARGUMENT"
    assert not bugs(caplog)
    assert (await replica.enrol(token, AgentKey())).WhichOneof("result") == "certificate"


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", bytes(500), bytes.fromhex("16030100c8010000c40303")],
    ids=["HTTP", "zeros", "half a TLS hello"],
)
async def test_other_protocols_on_the_enrolment_port_disturb_no_agent(
    replica: Replica, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    host, _, port = replica.enrolment.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    await writer.drain()
    reply = await replica.enrol(await replica.token(), AgentKey())
    assert reply.WhichOneof("result") == "certificate"
    writer.close()
    assert not bugs(caplog)


async def test_tokens_that_are_none_are_unauthenticated(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    key = AgentKey()
    strange = ("", "x" * 201, "\0", "'; DROP TABLE agent_enrolments; --", "é" * 100)
    async with replica.channel(replica.enrolment) as channel:
        for token in (*strange, new_secret().reveal()):
            raw = enrolment_pb2.EnrolRequest(join_token=token, signing_request=key.request)
            status = await Caller(channel).send(ENROL, raw.SerializeToString())
            assert status == "UNAUTHENTICATED", token
    assert not bugs(caplog)
