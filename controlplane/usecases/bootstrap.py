"""Bootstrap: creates the org, its first projects and its first cluster."""

from collections.abc import Sequence

from controlplane.core.errors import NotFoundError
from controlplane.core.projects import Project
from controlplane.store.database import Database
from controlplane.store.resources.clusters import list_orgs, save_cluster, save_org
from controlplane.store.resources.projects import create_project
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of
from shared.model.ids import ClusterName, OrgName


async def bootstrap(
    database: Database,
    clock: Clock,
    *,
    org: OrgName,
    projects: Sequence[Project],
    cluster: ClusterName,
    cluster_token: SecretText | None,
) -> None:
    """
    Create the objects that do not exist yet; of existing ones only the cluster's token changes.

    Without a token there is no cluster: its agent enrols.
    """
    now = clock.now()
    async with database.for_org(org) as tx:
        await save_org(tx, now)
        for project in projects:
            await create_project(tx, project, now=now)
        if cluster_token is not None:
            await save_cluster(tx, cluster, digest_of(cluster_token), now)


async def require_org(database: Database, org: OrgName) -> None:
    """Raise NotFoundError, which lists the existing orgs, unless the org exists."""
    async with database.for_fleet("find an org") as tx:
        orgs = await list_orgs(tx)
    if org not in orgs:
        raise NotFoundError("org", org, there_are=orgs)
