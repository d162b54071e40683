"""Over TLS an agent is its certificate, and a certificate is good for its own cluster only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import grpc
import grpc.aio
import pytest

from controlplane.link import enrolment_service
from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_org
from shared.idl.agent.v1 import enrolment_pb2, enrolment_pb2_grpc, probe_pb2, probe_pb2_grpc
from shared.kit.secrets import new_secret
from tests.factories import NOW, ORG
from tests.integration.agent_identity.conftest import THEIRS, AgentKey
from tests.integration.agent_identity.tls_world import (
    API,
    Replica,
    refused_by_tls,
    replica_serving,
    show,
)
from tests.integration.link.conftest import make_hello
from tests.kube.certificates import Authority
from tests.running import until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url, pool_size=6, fleet_pool_size=6)
    for org in (ORG, THEIRS):
        async with database.for_org(org) as tx:
            await save_org(tx, NOW)
    yield database
    await database.close()


@pytest.fixture
async def replica(
    database: Database, database_url: str, authority: Authority
) -> AsyncIterator[Replica]:
    async with replica_serving(
        database, database_url, show(authority), authority.certificate
    ) as opened:
        yield opened


async def test_agent_enrols_and_connects_with_its_certificate(replica: Replica) -> None:
    key = AgentKey()
    reply = await replica.enrol(await replica.token(), key)
    assert (reply.org, reply.cluster, reply.api_endpoint) == (ORG, "c1", API)
    async with replica.dialling(key, reply.certificate.pem) as agent:
        welcome = await agent.greet(org=ORG, cluster="c1")
        assert welcome.cluster == "c1"
    async with replica.channel(replica.link, key, reply.certificate.pem) as channel:
        stub = probe_pb2_grpc.ProbeServiceStub(channel)  # type: ignore[no-untyped-call]
        assert (await stub.Probe(probe_pb2.ProbeRequest())).cluster == "c1"


async def test_waiting_agent_is_told_its_keys_fingerprint(replica: Replica) -> None:
    made = await replica.enrolments.create_cluster(replica.operator, "c1")
    key = AgentKey()
    assert made.token is not None
    reply = await replica.enrol(made.token, key)
    assert reply.waiting.key.startswith("SHA256:")
    await replica.enrolments.accept(replica.operator, "c1", key=reply.waiting.key)
    assert (await replica.enrol(made.token, key)).certificate.pem


async def test_link_port_demands_a_client_certificate(replica: Replica) -> None:
    async with replica.dialling() as agent:
        assert await refused_by_tls(agent) == "UNAVAILABLE"


async def test_certificate_of_another_authority_is_refused(
    replica: Replica, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign").issue("c1")
    credentials = grpc.ssl_channel_credentials(
        replica.trust.read_bytes(), foreign.key.read_bytes(), foreign.certificate.read_bytes()
    )
    async with grpc.aio.secure_channel(replica.link, credentials) as channel:
        stub = probe_pb2_grpc.ProbeServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Probe(probe_pb2.ProbeRequest())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer some-shared-token"),)])
async def test_enrolment_port_serves_nothing_else_without_a_certificate(
    replica: Replica, metadata: tuple[tuple[str, str], ...]
) -> None:
    async with replica.dialling(address=replica.enrolment, metadata=metadata) as agent:
        code, text, retry = await agent.hear_end()
    assert (code, retry) == ("unauthenticated", False)
    assert "no client certificate" in text
    async with replica.channel(replica.enrolment) as channel:
        probes = probe_pb2_grpc.ProbeServiceStub(channel)  # type: ignore[no-untyped-call]
        enrolment = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
        for call in (
            probes.Probe(probe_pb2.ProbeRequest(), metadata=metadata),
            enrolment.Renew(enrolment_pb2.RenewRequest(), metadata=metadata),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_agent_that_claims_another_cluster_than_its_certificates_is_refused(
    replica: Replica,
) -> None:
    key = AgentKey()
    certificate = await replica.certify(key)
    for org, cluster in ((THEIRS, "c1"), (ORG, "c2")):
        async with replica.dialling(key, certificate) as agent:
            await agent.say(hello=make_hello(org=org, cluster=cluster))
            code, text, retry = await agent.hear_end()
        assert (code, retry) == ("identity", False)
        assert "mixed up" in text


async def test_revocation_ends_the_stream_on_another_replica(
    replica: Replica, database: Database, database_url: str, authority: Authority
) -> None:
    key = AgentKey()
    certificate = await replica.certify(key)
    async with (
        replica_serving(
            database, database_url, show(authority, "second"), authority.certificate
        ) as second,
        second.dialling(key, certificate) as agent,
    ):
        await agent.open()
        await replica.enrolments.revoke(replica.operator, "c1")
        code, text, retry = await agent.hear_end()
        assert (code, retry) == ("unauthenticated", False)
        assert "was revoked" in text
    async with replica.dialling(key, certificate) as agent:
        code, text, _ = await agent.hear_end()
    assert code == "unauthenticated"
    async with replica.channel(replica.link, key, certificate) as channel:
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError, match="was revoked"):
            await stub.Renew(enrolment_pb2.RenewRequest(signing_request=AgentKey().request))


async def test_stream_ends_when_the_certificate_expires(
    replica: Replica, database_url: str
) -> None:
    key = AgentKey()
    certificate = await replica.certify(key)
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ROLE volary_fleet")
    await connection.execute(
        "UPDATE agent_certificates SET expires_at = clock_timestamp() + interval '2 s'"
    )
    await connection.close()
    async with replica.dialling(key, certificate) as agent:
        await agent.open()
        assert (await agent.hear_end())[0] == "expired"


async def test_renewal_over_the_link_retires_the_certificate(replica: Replica) -> None:
    key, next_key = AgentKey(), AgentKey()
    certificate = await replica.certify(key)
    async with replica.dialling(key, certificate) as agent:
        await agent.open()
        async with replica.channel(replica.link, key, certificate) as channel:
            stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
            reply = await stub.Renew(enrolment_pb2.RenewRequest(signing_request=next_key.request))
    async with replica.dialling(next_key, reply.certificate.pem) as agent:
        await agent.open()
    async with replica.dialling(key, certificate) as agent:
        await agent.say(hello=make_hello(instance_id="a copy"))
        code, text, retry = await agent.hear_end()
    assert (code, retry) == ("unauthenticated", False)
    assert "key was copied" in text


async def test_new_server_certificate_is_shown_to_new_connections_only(
    replica: Replica, authority: Authority
) -> None:
    key = AgentKey()
    certificate = await replica.certify(key)
    async with replica.dialling(key, certificate) as agent:
        await agent.open()
        later = Authority(replica.trust.parent / "later")
        shown = show(later)
        for new, old in (
            (shown.certificate, authority.certificate.parent / "link.crt"),
            (shown.key, authority.certificate.parent / "link.key"),
        ):
            old.write_bytes(new.read_bytes())

        async def is_shown() -> bool:
            credentials = grpc.ssl_channel_credentials(
                later.certificate.read_bytes(), key.pem, certificate
            )
            options = (("grpc.use_local_subchannel_pool", 1),)
            async with grpc.aio.secure_channel(replica.link, credentials, options) as channel:
                stub = probe_pb2_grpc.ProbeServiceStub(channel)  # type: ignore[no-untyped-call]
                try:
                    await stub.Probe(probe_pb2.ProbeRequest())
                except grpc.aio.AioRpcError:
                    return False
            return True

        await until(is_shown, "the new certificate")
        await agent.be_heard()  # the open stream goes on


async def test_new_authority_is_trusted_without_a_restart(replica: Replica) -> None:
    await replica.authorities.replace()
    key = AgentKey()
    certificate = await replica.certify(key)
    async with replica.dialling(key, certificate) as agent:
        await agent.open()


async def test_a_thousand_enrolments_at_once_run_a_few_at_a_time(replica: Replica) -> None:
    running, most = 0, 0
    original = replica.enrolling._enrolments.enrol

    async def counted(*arguments: object, **named: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await original(*arguments, **named)  # type: ignore[arg-type]
        finally:
            running -= 1

    replica.enrolling._enrolments.enrol = counted  # type: ignore[method-assign, assignment]
    request = enrolment_pb2.EnrolRequest(signing_request=AgentKey().request)
    good_token, good_key = await replica.token(), AgentKey()
    channels = [replica.channel(replica.enrolment) for _ in range(70)]
    calls = []
    for number in range(1000):
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channels[number % 70])  # type: ignore[no-untyped-call]
        request.join_token = new_secret().reveal()
        calls.append(stub.Enrol(request))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    codes = {each.code() for each in answers if isinstance(each, grpc.aio.AioRpcError)}
    assert len(answers) == 1000
    assert codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert 0 < most <= enrolment_service.AT_ONCE
    assert (await replica.enrol(good_token, good_key)).certificate.pem
    for channel in channels:
        await channel.close()
