"""Two orgs with the use cases of agents' identity, and keys as agents make them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controlplane.authn.agent_authority import AuthoritySet
from controlplane.authn.sealing import Sealer
from controlplane.core.agent_identity import AgentCertificate
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.clusters import AgentInfo
from controlplane.core.lists import Listing
from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_org
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions
from controlplane.usecases.agents.authorities import AgentAuthorities
from controlplane.usecases.agents.enrolment import Enrolled, Enrolments
from controlplane.usecases.agents.identities import AgentIdentities
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.identity.audit import Audit
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock

THEIRS = OrgName("theirs")
SEALING_KEY = SecretBytes(b"k" * 32)


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A key pair, with its signing request."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    @property
    def request(self) -> bytes:
        """A signing request with the name of another cluster, which must not count."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "theirs/c1")])
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("volary://theirs/c1")]),
                critical=False,
            )
            .sign(self.private, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )

    @property
    def pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityWorld:
    database: Database
    clock: FakeClock
    authorities: AgentAuthorities
    known: AuthoritySet
    enrolments: Enrolments
    identities: AgentIdentities
    sessions: AgentSessions
    clusters: Clusters
    audit: Audit
    operator: Caller
    other_operator: Caller

    async def new_cluster(self, name: str = "c1", *, by: Caller | None = None) -> SecretText:
        """Create a cluster whose agent is accepted without a person; return its join token."""
        made = await self.enrolments.create_cluster(by or self.operator, name, auto_accept=True)
        assert made.token is not None
        return made.token

    async def enrol(self, token: SecretText, key: AgentKey) -> Enrolled:
        return await self.enrolments.enrol(token, key.request, peer="10.0.0.1", software="a test")

    async def certify(
        self, key: AgentKey, name: str = "c1", *, by: Caller | None = None
    ) -> AgentCertificate:
        """Create a cluster and enrol an agent with this key."""
        enrolled = await self.enrol(await self.new_cluster(name, by=by), key)
        assert enrolled.certificate is not None
        return enrolled.certificate

    async def open(self, certificate: AgentCertificate, instance: str = "one") -> AgentSessionRef:
        """Open a session as the link does."""
        identity = await self.identities.find(certificate.fingerprint, opens_session=True)
        agent = AgentInfo(agent_id="agent", instance_id=instance, software="a test", protocol=1)
        return await self.sessions.open(identity.cluster, agent, serial=identity.serial)

    async def renew(self, certificate: AgentCertificate, key: AgentKey) -> AgentCertificate:
        identity = await self.identities.find(certificate.fingerprint)
        return await self.identities.renew(identity, key.request)

    async def audited(self, action: str) -> int:
        page = await self.audit.list(self.operator, Listing(limit=200))
        return sum(record.event.action == action for record in page.rows)


def operator_of(org: OrgName) -> Caller:
    return Caller(subject=Subject("operator:ada"), org=org, name="Ada", grants=org_wide(EVERYTHING))


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[IdentityWorld]:
    database = open_database(database_url, pool_size=8, fleet_pool_size=8)
    clock, known = FakeClock(NOW), AuthoritySet()
    for org in (ORG, THEIRS):
        async with database.for_org(org) as tx:
            await save_org(tx, NOW)
    authorities = AgentAuthorities(database, Sealer([SEALING_KEY]), known, clock)
    await authorities.refresh()
    yield IdentityWorld(
        database=database,
        clock=clock,
        authorities=authorities,
        known=known,
        enrolments=Enrolments(database, clock, known),
        identities=AgentIdentities(database, clock, known),
        sessions=AgentSessions(database, clock),
        clusters=Clusters(database, clock),
        audit=Audit(database),
        operator=operator_of(ORG),
        other_operator=operator_of(THEIRS),
    )
    await database.close()
