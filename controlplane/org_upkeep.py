"""
Builds and runs what follows the decisions of an org's owners: deletion, checks of e-mail domains.

A part of ``main``.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from controlplane.feeds.feeds import Feeds
from controlplane.loops.deleted_orgs import DeletedOrgLoop
from controlplane.loops.email_domains import EmailDomainChecks
from controlplane.outbound.dns import Dns
from controlplane.settings import Settings
from controlplane.store.database import Database
from controlplane.usecases.identity.deleted_orgs import DeletedOrgs
from controlplane.usecases.identity.email_domains import EmailDomains
from controlplane.usecases.identity.org_deletion import OrgDeletion
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import OrgName


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgUpkeep:
    deletion: OrgDeletion
    email_domains: EmailDomains
    deleted: DeletedOrgLoop
    checks: EmailDomainChecks

    async def run(self) -> None:
        """Run the loops until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.deleted.run(), name="deleted orgs")
            loops.create_task(self.checks.run(), name="e-mail domains")


def make_org_upkeep(
    settings: Settings,
    database: Database,
    loop_database: Database,
    blobs: BlobStore,
    *,
    feeds: Feeds,
    clock: Clock,
) -> OrgUpkeep:
    """Build the use cases on ``database``, and their loops on ``loop_database``."""
    dns, tenant = Dns(settings.dns.servers), settings.tenant
    return OrgUpkeep(
        deletion=OrgDeletion(
            database, clock, own=OrgName(tenant.org), grace=tenant.deleted_orgs_kept
        ),
        email_domains=EmailDomains(database, clock, dns),
        deleted=DeletedOrgLoop(
            DeletedOrgs(loop_database, blobs, clock), feeds, clock, every=timedelta(seconds=5)
        ),
        checks=EmailDomainChecks(
            EmailDomains(loop_database, clock, dns), clock, every=timedelta(minutes=5)
        ),
    )
