"""
Builds what agents with certificates need: authorities, enrolment, TLS of their ports.

A part of ``main``, for a link with TLS.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from controlplane.authn.agent_authority import AuthoritySet
from controlplane.authn.login_settings import LoginSettings
from controlplane.core.addresses import Addresses
from controlplane.feeds.feeds import Feeds
from controlplane.link.tls import LinkTls
from controlplane.link.tls_settings import LinkTlsSettings
from controlplane.loops.key_rotation import KeyRotation
from controlplane.store.clock import StoreClock
from controlplane.store.database import Database, open_database
from controlplane.usecases.agents.authorities import AgentAuthorities
from controlplane.usecases.agents.enrolment import Enrolments
from controlplane.usecases.agents.identities import AgentIdentities
from shared.kit.clock import Clock
from shared.kit.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAccess:
    """Identity of agents; ``prepare`` before the link starts."""

    enrolments: Enrolments
    identities: AgentIdentities
    tls: LinkTls
    rotation: KeyRotation

    async def prepare(self) -> None:
        """Read the authorities. UnfitDatabaseError: the sealing key does not open them."""
        await self.rotation.run_once()

    async def run(self) -> None:
        """Follow the authorities and the certificate's files until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.rotation.run(), name="agent authorities")
            loops.create_task(self.tls.run(), name="link certificate")


def make_agent_access(
    settings: LinkTlsSettings,
    logins: LoginSettings,
    *,
    link_database: Database,
    loop_database: Database,
    feeds: Feeds,
    clock: Clock,
    metrics: CollectorRegistry,
) -> AgentAccess | None:
    """Build it; None without TLS on the link. SettingsError: keys or files cannot be used."""
    if settings.files is None:
        return None
    try:
        sealer = logins.make_sealer()
    except ValueError as error:
        raise SettingsError(
            f"TLS of the link needs VOLARY_SEALING_KEY, which seals the keys of agents' "
            f"authorities: {error}"
        ) from error
    authorities = AuthoritySet()
    tls = LinkTls(*settings.files, authorities, clock, metrics)
    refreshed = AgentAuthorities(
        loop_database, sealer, authorities, clock, changed=tls.follow_authorities
    )
    return AgentAccess(
        enrolments=Enrolments(link_database, clock, authorities),
        identities=AgentIdentities(link_database, clock, authorities),
        tls=tls,
        rotation=KeyRotation(
            "agent authorities", refreshed, feeds, clock, every=timedelta(seconds=30)
        ),
    )


async def replace_authorities(settings: LoginSettings, addresses: Addresses) -> str:
    """Trust a new authority only, on every replica; return its id. SettingsError."""
    try:
        sealer = settings.make_sealer()
    except ValueError as error:
        raise SettingsError(f"authorities are sealed with VOLARY_SEALING_KEY: {error}") from error
    database = open_database(
        addresses.orgs, pool_size=1, fleet_url=addresses.fleet, pooled=addresses.pooled
    )
    clock = StoreClock(database)
    try:
        await clock.set()
        return await AgentAuthorities(database, sealer, AuthoritySet(), clock).replace()
    finally:
        await database.close()


def endpoint_of(url: str) -> str:
    """Return ``host:port`` of a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
