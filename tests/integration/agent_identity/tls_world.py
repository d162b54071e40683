"""A link with TLS on real sockets, and agents that dial it with keys of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry

from controlplane.authn.agent_authority import AuthoritySet
from controlplane.authn.sealing import Sealer
from controlplane.core.callers import Caller
from controlplane.core.link_timings import LinkTimings
from controlplane.feeds.feeds import Feeds
from controlplane.link.attempt_tokens_service import AttemptTokenExchange
from controlplane.link.connection_limits import LinkLimits
from controlplane.link.enrolment_service import Enrolling
from controlplane.link.live_calls import LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.probe_service import Probes
from controlplane.link.secrets_service import SecretDeliveries
from controlplane.link.server import AgentLinkService, LinkServer
from controlplane.link.tls import LinkTls
from controlplane.store.database import Database
from controlplane.store.notify.notifications import listen
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.agents.authorities import AgentAuthorities
from controlplane.usecases.agents.enrolment import Enrolments
from controlplane.usecases.agents.identities import AgentIdentities
from controlplane.usecases.forwarded_calls import ForwardedCalls
from controlplane.usecases.running_attempts import AttemptTokens
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.idl.agent.v1 import enrolment_pb2, enrolment_pb2_grpc, link_pb2
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes, SecretText
from shared.secrets.keyrings import AesKey
from tests.factories import ORG
from tests.integration.agent_identity.conftest import SEALING_KEY, AgentKey, operator_of
from tests.integration.link.conftest import Agent
from tests.kube.certificates import Authority, Identity
from tests.running import running

API = "volary.example.com:443"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica's link with TLS; its certificate lies in files."""

    server: LinkServer
    tls: LinkTls
    authorities: AgentAuthorities
    enrolments: Enrolments
    sessions: AgentSessions
    enrolling: Enrolling
    trust: Path
    operator: Caller

    @property
    def link(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def enrolment(self) -> str:
        return f"127.0.0.1:{self.server.enrolment_port}"

    async def token(self, cluster: str = "c1", *, by: Caller | None = None) -> SecretText:
        made = await self.enrolments.create_cluster(by or self.operator, cluster, auto_accept=True)
        assert made.token is not None
        return made.token

    async def certify(
        self, key: AgentKey, cluster: str = "c1", *, by: Caller | None = None
    ) -> bytes:
        """Create a cluster and enrol over the wire; return the certificate's PEM."""
        reply = await self.enrol(await self.token(cluster, by=by), key)
        assert reply.WhichOneof("result") == "certificate"
        return reply.certificate.pem

    async def enrol(self, token: SecretText, key: AgentKey) -> enrolment_pb2.EnrolReply:
        async with self.channel(self.enrolment) as channel:
            stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
            reply = await stub.Enrol(
                enrolment_pb2.EnrolRequest(
                    join_token=token.reveal(), signing_request=key.request, software="a test"
                )
            )
        assert isinstance(reply, enrolment_pb2.EnrolReply)
        return reply

    def channel(
        self, address: str, key: AgentKey | None = None, certificate: bytes | None = None
    ) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.trust.read_bytes(), None if key is None else key.pem, certificate
        )
        options = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.aio.secure_channel(address, credentials, options)

    @asynccontextmanager
    async def dialling(
        self,
        key: AgentKey | None = None,
        certificate: bytes | None = None,
        *,
        address: str = "",
        metadata: Sequence[tuple[str, str]] = (),
    ) -> AsyncIterator[Agent]:
        async with self.channel(address or self.link, key, certificate) as channel:
            connect = channel.stream_stream(
                "/volary.agent.v1.LinkService/Connect",
                request_serializer=link_pb2.AgentFrame.SerializeToString,
                response_deserializer=link_pb2.ControlFrame.FromString,
            )
            call = connect(metadata=tuple(metadata))
            try:
                yield Agent(call)  # type: ignore[arg-type]
            finally:
                call.cancel()


@asynccontextmanager
async def replica_serving(
    database: Database,
    url: str,
    shown: Identity,
    trust: Path,
    *,
    limits: LinkLimits | None = None,
) -> AsyncIterator[Replica]:
    """Serve agents as ``controlplane.main`` does with TLS on the link."""
    clock, live = SystemClock(), LiveCalls()
    feeds = Feeds(database, partial(listen, url))
    known = AuthoritySet()
    tls = LinkTls(shown.certificate, shown.key, known, clock, CollectorRegistry())
    authorities = AgentAuthorities(
        database, Sealer([SEALING_KEY]), known, clock, changed=tls.follow_authorities
    )
    await authorities.refresh()
    identities = AgentIdentities(database, clock, known)
    enrolments = Enrolments(database, clock, known)
    sessions = AgentSessions(database, clock, identities)
    service = AgentLinkService(
        agent_sessions=sessions,
        feeds=feeds,
        live=live,
        forwarded_calls=ForwardedCalls(database, clock),
        clock=clock,
        timings=LinkTimings(),
        metrics=LinkMetrics(CollectorRegistry()),
    )
    secrets = Secrets(
        database, clock, SecretKeys([AesKey(SecretBytes(b"k" * 32))]), lambda _: set()
    )
    enrolling = Enrolling(
        enrolments,
        identities,
        sessions,
        clock,
        api_endpoint=API,
        ca_file=trust.with_name("bundle.crt"),
    )
    server = LinkServer(
        service,
        Probes(sessions, clock, blob_base="file:///blobs"),
        SecretDeliveries(sessions, secrets),
        "127.0.0.1",
        0,
        tokens=AttemptTokenExchange(sessions, AttemptTokens(database, None)),
        limits=limits,
        tls=tls,
        enrolling=enrolling,
    )
    await server.start()
    async with (
        running(feeds, at_most=120),
        running(sessions, at_most=120),
        running(tls, at_most=120),
        running(server, at_most=120),
    ):
        yield Replica(
            server=server,
            tls=tls,
            authorities=authorities,
            enrolments=enrolments,
            sessions=sessions,
            enrolling=enrolling,
            trust=trust,
            operator=operator_of(ORG),
        )


def show(authority: Authority, name: str = "link") -> Identity:
    """Return a server certificate of the private authority."""
    return authority.issue(name, reached_at=["127.0.0.1"])


async def refused_by_tls(agent: Agent) -> str:
    """Return the status of a call whose handshake is refused."""
    try:
        async with asyncio.timeout(60):
            await agent.say(heartbeat=link_pb2.Heartbeat())
            await agent.call.read()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    code = await agent.call.code()
    return code.name
