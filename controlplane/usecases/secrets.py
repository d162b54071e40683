"""
Use cases of secrets: create, update, read and list them; deliver them; seal them again.

No value is ever answered: callers write values, and read names. Values are sealed before a
transaction begins, so that no lock waits for a key service.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    NotReadyError,
    UnfitDatabaseError,
)
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.projects import ProjectState
from controlplane.core.secrets import (
    MAX_SECRETS,
    ClusterKey,
    SealedRow,
    SecretPage,
    SecretRow,
    SecretStatus,
    SecretType,
    find_first,
    is_present,
    parse_scope,
    require_value,
)
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import secrets as store
from controlplane.store.resources.clusters import ClusterRef
from controlplane.store.resources.domains import require_domain
from controlplane.store.resources.projects import find_project
from controlplane.usecases.identity.audit import record
from controlplane.usecases.secret_keys import SecretKeys, UnopenableError
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes
from shared.model.ids import AttemptId, DomainName, LeaseId, OrgName, ProjectName
from shared.model.secrets import SealedSecret, SecretName, list_candidates
from shared.secrets.keyrings import PublicKey

log = logging.getLogger(__name__)

MAX_ASKED = 100
"""Most secrets of one task."""
MAX_DELIVERED_BYTES = 24 * 1024 * 1024
"""Most bytes of envelopes in one answer to an agent, which takes 32 MiB."""
MAX_IMAGE_PULL = 20
_UPDATE_TRIES = 5
_RESEAL_PAGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """Result of sealing secrets again; ``left`` are those that only an update can seal."""

    resealed: int
    current: int
    left: Sequence[SecretName]


def _name_none(_spec: bytes) -> Collection[str]:
    return ()


class Secrets:
    """Use cases of secrets."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        named_in: Callable[[bytes], Collection[str]] = _name_none,
    ) -> None:
        """``named_in`` lists the secrets that a task spec names: no others are delivered."""
        self._named_in = named_in
        self._database = database
        self._clock = clock
        self._keys = keys

    async def require_keys(self) -> None:
        """Raise UnfitDatabaseError if stored secrets were sealed with a key that is not here."""
        async with self._database.for_fleet("compare the keys of secrets") as tx:
            found = await store.list_keyrings(tx)
        strange = [each for each in found if each[1] not in self._keys.names]
        if not strange:
            return
        count = sum(secrets for _, _, secrets in strange)
        names = sorted({keyring for _, keyring, _ in strange})
        raise UnfitDatabaseError(
            f"{count} secrets in the database were sealed with {', '.join(names)}, and this control "
            f"plane has {', '.join(self._keys.names) or 'no key for secrets'}; add the missing key "
            "below the first line of VOLARY_SECRETS_KEY_FILE (or to VOLARY_SECRETS_KMS_KEYS), then "
            "run `volary secret reseal`"
        )

    async def create(
        self, caller: Caller, name: SecretName, kind: SecretType, value: SecretBytes
    ) -> None:
        """Create a secret; AlreadyExistsError when its scope has one of that name."""
        caller.require(Permission.SECRET_WRITE, name.project, name.domain)
        self._keys.require()
        require_value(name, kind, value)
        async with self._database.for_org(caller.org) as tx:
            await _require_scope(tx, name.project, name.domain)
            clusters = await store.list_cluster_keys(tx)
        sealed = await self._keys.seal(name, value, version=1, clusters=clusters)
        now = self._clock.now()
        row = SecretRow(
            name=name,
            type=kind,
            version=1,
            keyring=sealed.keyring,
            recipients=sealed.recipients,
            created_by=caller.subject,
            created_at=now,
            updated_at=now,
        )
        async with self._database.for_org(caller.org) as tx:
            if await store.count_secrets(tx, most=MAX_SECRETS) >= MAX_SECRETS:
                raise ExhaustedError(f"an org has at most {MAX_SECRETS} secrets; delete some")
            if not await store.create_secret(tx, row, sealed.envelope, now=now):
                raise AlreadyExistsError(
                    f"secret {name} exists; change its value with `volary secret update`"
                )
            detail = {"type": kind.name.lower()}
            await record(tx, self._clock, caller, "secret.create", _target(name), detail=detail)
        log.info("secret created", extra=_fields(caller, name))

    async def update(
        self, caller: Caller, name: SecretName, kind: SecretType, value: SecretBytes
    ) -> None:
        """Replace a secret's value; attempts that start from now on get it. NotFoundError."""
        caller.require(Permission.SECRET_WRITE, name.project, name.domain)
        self._keys.require()
        for _ in range(_UPDATE_TRIES):
            async with self._database.for_org(caller.org) as tx:
                await _require_scope(tx, name.project, name.domain)
                row = (await _find(tx, name)).row
                clusters = await store.list_cluster_keys(tx)
            if kind not in {SecretType.GENERIC, row.type}:  # GENERIC is also "not given"
                raise InvalidError(
                    f"secret_spec.type: secret {name} is of another type; delete and create it"
                )
            require_value(name, row.type, value)
            sealed = await self._keys.seal(name, value, version=row.version + 1, clusters=clusters)
            async with self._database.for_org(caller.org) as tx:
                if await store.replace_envelope(
                    tx,
                    row,
                    sealed.envelope,
                    keyring=sealed.keyring,
                    recipients=sealed.recipients,
                    changed_at=self._clock.now(),
                ):
                    await record(tx, self._clock, caller, "secret.update", _target(name))
                    log.info("secret updated", extra=_fields(caller, name))
                    return
        raise ConflictError(f"secret {name} is being changed by others; try again")

    async def get(self, caller: Caller, name: SecretName) -> SecretStatus:
        """Return a secret without its value; NotFoundError."""
        caller.require(Permission.SECRET_READ, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await _find(tx, name)
            clusters = await store.list_cluster_keys(tx)
        return _status(found.row, clusters)

    async def delete(self, caller: Caller, name: SecretName) -> None:
        """Delete a secret; running attempts keep what they were given. NotFoundError."""
        caller.require(Permission.SECRET_WRITE, name.project, name.domain)
        async with self._database.for_org(caller.org) as tx:
            if not await store.delete_secret(tx, name):
                raise NotFoundError("secret", name)
            await record(tx, self._clock, caller, "secret.delete", _target(name))
        log.info("secret deleted", extra=_fields(caller, name))

    async def list(
        self, caller: Caller, *, project: str, domain: str, limit: int, token: str
    ) -> SecretPage:
        """List the secrets of a scope, and of the scopes within it, that the caller may read."""
        if project:  # before its row is read: what the caller may not read does not exist
            caller.require_part(Permission.SECRET_READ, project)
        else:
            caller.require_somewhere(Permission.SECRET_READ)
        parse_scope(project, domain)
        async with self._database.for_org(caller.org) as tx:
            await _require_scope(tx, project, domain, archived=True)
            rows, following = await store.list_secrets(
                tx,
                project=project,
                domain=domain,
                visible=caller.list_scopes(Permission.SECRET_READ),
                limit=min(limit, MAX_LIMIT),
                token=token,
            )
            clusters = await store.list_cluster_keys(tx)
        return SecretPage([_status(row, clusters) for row in rows], following)

    async def deliver(
        self, cluster: ClusterRef, attempt: AttemptId, lease: LeaseId, asked: Sequence[str]
    ) -> Sequence[SealedSecret]:
        """
        Seal the secrets that an attempt asks for to its cluster, in the order asked.

        NotFoundError unless the attempt is leased to the cluster; InvalidError and
        ExhaustedError when it asks for too many, too large ones, or any that its task does
        not name: an agent that was taken over gets no other secrets of the project.
        """
        if len(asked) > MAX_ASKED:
            raise InvalidError(f"a task has at most {MAX_ASKED} secrets, not {len(asked)}")
        async with self._database.for_org(cluster.org) as tx:
            project, domain, spec = await _require_lease(tx, cluster, attempt, lease)
            named = self._named_in(spec)
            for name in asked:
                if name not in named:
                    raise InvalidError(
                        f"the task of attempt {attempt} does not name secret {name!r}"
                    )
            candidates = {name: _candidates(cluster.org, project, domain, name) for name in asked}
            found = await store.find_secrets(
                tx, sorted({each for names in candidates.values() for each in names}, key=str)
            )
            key = await _find_key(tx, cluster)
        chosen = {name: find_first(names, found) for name, names in candidates.items()}
        _require_size([each for each in chosen.values() if each is not None])
        return [await self._deliver(name, chosen[name], key) for name in asked]

    async def deliver_image_pull(
        self, cluster: ClusterRef, attempt: AttemptId, lease: LeaseId
    ) -> Sequence[SealedSecret]:
        """Seal the org's image pull secrets to the attempt's cluster, the latest changed first."""
        async with self._database.for_org(cluster.org) as tx:
            await _require_lease(tx, cluster, attempt, lease)
            found = await store.find_image_pull_secrets(tx, most=MAX_IMAGE_PULL)
            key = await _find_key(tx, cluster)
        _require_size(found)
        return [await self._deliver(each.row.name.name, each, key) for each in found]

    async def reseal(self) -> Resealed:
        """
        Seal every secret of every org again that is not sealed to the current keys.

        Idempotent, and safe while replicas serve: each row is replaced only if its value is
        still the one that was opened.
        """
        async with self._database.for_fleet(
            "list the orgs whose secrets are sealed again"
        ) as fleet:
            orgs = sorted({org for org, _, _ in await store.list_keyrings(fleet)})
        resealed = current = 0
        left: list[SecretName] = []
        for org in orgs:
            after: SecretName | None = None
            while page := await self._read_page(org, after):
                rows, clusters = page
                for sealed in rows:
                    if self._keys.is_current(sealed.row, clusters):
                        current += 1
                    elif await self._reseal(sealed, clusters):
                        resealed += 1
                    else:
                        left.append(sealed.row.name)
                after = rows[-1].row.name
        return Resealed(resealed=resealed, current=current, left=left)

    async def _read_page(
        self, org: OrgName, after: SecretName | None
    ) -> tuple[Sequence[SealedRow], Sequence[ClusterKey]] | None:
        async with self._database.for_org(org) as tx:
            rows = await store.list_after(tx, after, most=_RESEAL_PAGE)
            return (rows, await store.list_cluster_keys(tx)) if rows else None

    async def _reseal(self, sealed: SealedRow, clusters: Sequence[ClusterKey]) -> bool:
        """Seal one secret to the current keys; False if it cannot be opened here."""
        row = sealed.row
        try:
            value = await self._keys.open(sealed)
            again = await self._keys.seal(row.name, value, version=row.version, clusters=clusters)
        except (UnopenableError, NotReadyError) as error:
            log.warning(
                "secret not sealed again",
                extra={"org": row.name.org, "secret": str(row.name), "detail": str(error)},
            )
            return False
        async with self._database.for_org(row.name.org) as tx:
            # If its value was changed meanwhile, that sealed it to the current keys.
            await store.replace_envelope(
                tx,
                row,
                again.envelope,
                keyring=again.keyring,
                recipients=again.recipients,
                changed_at=None,
            )
        return True

    async def _deliver(self, asked: str, sealed: SealedRow | None, key: ClusterKey) -> SealedSecret:
        if sealed is None:
            return SealedSecret(asked=asked)
        name = sealed.row.name
        try:
            envelope = await self._keys.deliver(sealed, key)
        except UnopenableError as error:
            log.error("secret not delivered", extra={"org": name.org, "detail": str(error)})  # noqa: TRY400 - not a bug
            return SealedSecret(asked=asked, name=name, problem=str(error))
        return SealedSecret(asked=asked, name=name, envelope=envelope)


async def _require_scope(tx: OrgTx, project: str, domain: str, *, archived: bool = False) -> None:
    """Raise NotFoundError for an unknown scope, NotReadyError if the project is archived."""
    if domain:
        await require_domain(tx, DomainName(domain))
    if not project:
        return
    found = await find_project(tx, ProjectName(project))
    if found is None:
        raise NotFoundError("project", project)
    if found.project.state is ProjectState.ARCHIVED and not archived:
        raise NotReadyError(f"project {project} is archived; unarchive it first")


async def _find(tx: OrgTx, name: SecretName) -> SealedRow:
    found = await store.find_secrets(tx, [name])
    if not found:
        raise NotFoundError("secret", name)
    return found[0]


async def _require_lease(
    tx: OrgTx, cluster: ClusterRef, attempt: AttemptId, lease: LeaseId
) -> tuple[ProjectName, DomainName, bytes]:
    scope = await store.find_scope_of_lease(tx, cluster.name, attempt, lease)
    if scope is None:
        raise NotFoundError("attempt", f"{attempt} of cluster {cluster.name}")
    return scope


async def _find_key(tx: OrgTx, cluster: ClusterRef) -> ClusterKey:
    for key in await store.list_cluster_keys(tx):
        if key.cluster == cluster.name:
            return key
    raise NotFoundError("cluster", cluster.name)


def _candidates(
    org: OrgName, project: ProjectName, domain: DomainName, name: str
) -> Sequence[SecretName]:
    return list_candidates(SecretName(org=org, project=project, domain=domain, name=name))


def _require_size(sealed: Sequence[SealedRow]) -> None:
    size = sum(len(each.envelope) for each in sealed)
    if size > MAX_DELIVERED_BYTES:
        raise ExhaustedError(
            f"the attempt's secrets have {size} bytes together; at most {MAX_DELIVERED_BYTES} "
            "are delivered: split the task or shorten them"
        )


def _status(row: SecretRow, clusters: Sequence[ClusterKey]) -> SecretStatus:
    return SecretStatus(
        row=row,
        clusters=[
            (each.cluster, is_present(row, each, PublicKey(each.public_key).name))
            for each in clusters
            if each.connected
        ],
    )


def _target(name: SecretName) -> str:
    """Name the secret for the audit log: project and domain are empty where its scope is wider."""
    return f"secret:{name.project}/{name.domain}/{name.name}"


def _fields(caller: Caller, name: SecretName) -> dict[str, str]:
    return {"org": caller.org, "secret": str(name), "subject": caller.subject}
