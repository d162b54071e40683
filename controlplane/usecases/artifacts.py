"""Use cases of artifacts: create, read, list and delete versions; declare partition keys."""

from collections.abc import Sequence
from dataclasses import replace

from controlplane.core.artifacts import (
    LATEST,
    MAX_NAMES,
    MAX_VERSIONS,
    ArtifactGroupPage,
    ArtifactKey,
    ArtifactName,
    ArtifactPage,
    ArtifactRow,
    DeclaredSchema,
    NewArtifact,
    PartitionSchema,
    SourceAttempt,
)
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.lists import Filter, Listing
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity.profiles import find_profiles
from controlplane.store.resources import artifact_lists as lists, artifacts as store
from controlplane.store.resources.artifact_uses import save_input_artifacts
from controlplane.store.resources.domains import require_domain
from controlplane.usecases.identity.audit import record
from controlplane.usecases.tasks import require_project
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName


class Artifacts:
    """Use cases of artifacts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, caller: Caller, new: NewArtifact) -> ArtifactRow:
        """
        Store a version and return it; the same version again returns the stored one.

        AlreadyExistsError when it has another value, type or partition. InvalidError when its
        source is not an attempt of an action in its own project and domain.
        """
        name = new.key.name
        caller.require(Permission.ARTIFACT_WRITE, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            await require_domain(tx, name.domain)
            await require_project(tx, name.project)
            if new.source is not None:
                await _require_source(tx, name, new.source)
            now = self._clock.now()
            names = await store.lock_names(tx, {name: new.partition.schema}, now)
            kept = (await store.find_digests(tx, [new.key])).get(new.key)
            if kept is None:
                await _require_capacity(tx, name, names[name])
                await store.insert_artifacts(tx, [(new, caller.subject)], names, now)
            elif kept != new.digest:
                raise AlreadyExistsError(
                    f"artifact {new.key} exists with another value, type or partition, which is "
                    "kept; publish this one under a new version"
                )
            stored = await lists.find_artifact(tx, name, new.key.version)
            if stored is None:
                raise RuntimeError(f"artifact {new.key} is not there after it was stored")
            return (await _with_profiles(tx, [stored]))[0]

    async def record_inputs(
        self, caller: Caller, input_uri: str, artifacts: Sequence[ArtifactKey]
    ) -> None:
        """Record the versions among inputs that the caller stored, for the runs that will get them."""
        if artifacts:
            async with self._database.for_org(caller.org) as tx:
                await save_input_artifacts(tx, {input_uri: artifacts}, self._clock.now())

    async def get(self, caller: Caller, name: ArtifactName, version: str) -> ArtifactRow:
        """Return a version, the newest one for "" and "latest"; NotFoundError."""
        caller.require(Permission.ARTIFACT_READ, name.project, name.domain)
        newest = version in ("", LATEST)
        async with self._database.for_org(caller.org) as tx:
            found = await lists.find_artifact(tx, name, "" if newest else version)
            if found is None:
                raise NotFoundError("artifact", name if newest else ArtifactKey(name, version))
            return (await _with_profiles(tx, [found]))[0]

    async def list(
        self,
        caller: Caller,
        project: ProjectName,
        domain: DomainName,
        name: str | None,
        listing: Listing,
        *,
        latest_per_partition: bool = False,
    ) -> ArtifactPage:
        """List versions of a project and domain, or of one name; newest first by default."""
        caller.require(Permission.ARTIFACT_READ, project, domain)
        async with self._database.for_org(caller.org) as tx:
            page = await lists.list_artifacts(
                *(tx, project, domain, name, listing), latest_per_partition=latest_per_partition
            )
            return replace(page, rows=await _with_profiles(tx, page.rows))

    async def list_names(
        self, caller: Caller, project: ProjectName, domain: DomainName, listing: Listing
    ) -> ArtifactGroupPage:
        """List the names that have versions, those with the newest version first by default."""
        caller.require(Permission.ARTIFACT_READ, project, domain)
        async with self._database.for_org(caller.org) as tx:
            page = await lists.list_groups(tx, project, domain, listing)
            latest = await _with_profiles(tx, [group.latest for group in page.rows])
            rows = [
                replace(group, latest=each) for group, each in zip(page.rows, latest, strict=True)
            ]
            return replace(page, rows=rows)

    async def list_metadata_keys(
        self, caller: Caller, project: ProjectName, domain: DomainName, name: str | None
    ) -> Sequence[str]:
        """List the keys of the versions' metadata, sorted."""
        caller.require(Permission.ARTIFACT_READ, project, domain)
        async with self._database.for_org(caller.org) as tx:
            return await lists.list_metadata_keys(tx, project, domain, name)

    async def delete(self, caller: Caller, key: ArtifactKey) -> None:
        """Delete a version's entry, never its data; NotFoundError."""
        name = key.name
        caller.require(Permission.ARTIFACT_WRITE, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            if not await store.delete_artifact(tx, key):
                raise NotFoundError("artifact", key)
            await record(tx, self._clock, caller, "artifact.delete", f"artifact:{key}")

    async def declare(
        self, caller: Caller, name: ArtifactName, schema: PartitionSchema
    ) -> PartitionSchema:
        """Fix a name's partition keys; NotReadyError when it has others already."""
        caller.require(Permission.ARTIFACT_WRITE, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            await require_domain(tx, name.domain)
            await require_project(tx, name.project)
            now = self._clock.now()
            names = await store.lock_names(tx, {name: schema}, now, declared=True)
            await _require_capacity(tx, name, names[name])
            kept = names[name].schema.schema
            if not kept.equals(schema):
                raise NotReadyError(
                    f"artifact {name} has the partition keys {kept}, not {schema}; they do not "
                    "change, so declare these under another name"
                )
        return kept

    async def get_schema(self, caller: Caller, name: ArtifactName) -> DeclaredSchema:
        """Return a name's partition keys, declared or of its first version; NotFoundError."""
        caller.require(Permission.ARTIFACT_READ, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_schema(tx, name)
        if found is None:
            raise NotFoundError("artifact", name)
        return found

    async def list_partition_values(
        self, caller: Caller, name: ArtifactName, key: str, filters: Sequence[Filter], *, most: int
    ) -> Sequence[str]:
        """List the values of a partition key, sorted; InvalidError for a key that it lacks."""
        schema = (await self.get_schema(caller, name)).schema
        async with self._database.for_org(caller.org) as tx:
            found = await lists.list_partition_values(
                *(tx, name, key, filters), is_time=key == schema.time_key, most=most
            )
        if not found and key not in (schema.time_key, *schema.keys):
            raise InvalidError(f"artifact {name} has no partition key {key!r}; it has {schema}")
        return found


async def _with_profiles(tx: OrgTx, rows: Sequence[ArtifactRow]) -> Sequence[ArtifactRow]:
    profiles = await find_profiles(tx, (row.created_by for row in rows))
    return [replace(row, profiles=profiles) for row in rows]


async def _require_source(tx: OrgTx, name: ArtifactName, source: SourceAttempt) -> None:
    run = source.action.run
    if (run.project, run.domain) != (name.project, name.domain):
        raise InvalidError(
            f"spec.source: {source.action} is of another project or domain than {name}; "
            "publish without a source, or with an external reference"
        )
    attempts = await store.find_attempts(tx, source.action)
    if attempts is None:
        raise InvalidError(f"spec.source: action {source.action} does not exist")
    if source.attempt >= attempts:
        raise InvalidError(
            f"spec.source: action {source.action} has no attempt {source.attempt}; "
            f"they are numbered from 0 to {attempts - 1}"
        )


async def _require_capacity(tx: OrgTx, name: ArtifactName, locked: store.LockedName) -> None:
    if locked.versions >= MAX_VERSIONS:
        raise ExhaustedError(
            f"artifact {name} has {MAX_VERSIONS} versions, the most there can be; delete some"
        )
    if locked.last_number:
        return
    if await store.count_names(tx, name.project, name.domain, most=MAX_NAMES + 1) > MAX_NAMES:
        raise ExhaustedError(
            f"{name.project}/{name.domain} has {MAX_NAMES} artifacts, the most there can be; "
            "delete some, or publish versions of an existing one"
        )
