"""Bootstrap: creates the org, its first projects and its first cluster."""

from collections.abc import Sequence

from controlplane.core.deleted_orgs import explain_deletion
from controlplane.core.errors import NotFoundError, UnfitDatabaseError
from controlplane.core.projects import Project
from controlplane.store.database import Database
from controlplane.store.identity.orgs import find_own_deletion
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

    Without a token there is no cluster: its agent enrols. UnfitDatabaseError: the org was deleted.
    """
    now = clock.now()
    async with database.for_org(org) as tx:
        await save_org(tx, now)
        deletion = await find_own_deletion(tx)
        if deletion is not None:
            raise UnfitDatabaseError(
                f"{explain_deletion(org, deletion)}; set VOLARY_ORG to another org, or restore it"
                " with `volary org restore`"
            )
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
