"""
Use cases of enrolment: create clusters and join tokens, accept agents, revoke their identity.

A join token is used by one key pair, which proves itself by a signed request; the same key may
ask again until it has its certificate, so that a lost answer costs nothing. Rows are locked in
the order cluster, enrolment, certificate.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from controlplane.authn.agent_authority import AuthoritySet, issue, name_key, parse_request
from controlplane.core.agent_identity import (
    ACCEPT_WITHIN,
    ENDED_KEPT,
    JOIN_TOKEN_LIFE,
    MAX_CLUSTERS,
    MAX_ENROLMENTS,
    AgentCertificate,
    Enrolment,
    EnrolmentState,
    JoinToken,
)
from controlplane.core.callers import Caller, Permission, Subject
from controlplane.core.deleted_orgs import explain_deletion
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    NotFoundError,
    UnauthenticatedError,
)
from controlplane.core.names import parse_cluster, parse_pool
from controlplane.store.agents import certificates, enrolments as store
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity.deleted_orgs import find_deletion
from controlplane.store.identity.idempotency import claim_request
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.resources import clusters
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret
from shared.kit.uuids import new_uuid
from shared.model.ids import ClusterName, OrgName

log = logging.getLogger(__name__)

_NEW_TOKEN = "create a new one with `volary cluster join-token`"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """Answer to an agent; ``certificate`` is None while it waits for acceptance."""

    org: OrgName
    cluster: ClusterName
    key: str  # fingerprint of the agent's key, which the operator compares
    certificate: AgentCertificate | None


class Enrolments:
    """Use cases of enrolment; ``enrol`` is for agents, the others for callers with permissions."""

    def __init__(self, database: Database, clock: Clock, authorities: AuthoritySet) -> None:
        self._database = database
        self._clock = clock
        self._authorities = authorities

    async def create_cluster(
        self,
        caller: Caller,
        name: str,
        *,
        pool: str = "",
        auto_accept: bool = False,
        request_id: str = "",
    ) -> JoinToken:
        """Create a cluster with a join token for its agent; AlreadyExistsError, ExhaustedError."""
        caller.require(Permission.CLUSTER_WRITE)
        cluster = parse_cluster(name)
        parse_pool(pool)
        new = self._new_enrolment(caller, cluster, auto_accept=auto_accept)
        token = new_secret()
        async with self._database.for_org(caller.org) as tx:
            request = {"cluster": cluster, "pool": pool, "auto_accept": auto_accept}
            earlier = await self._claim(tx, request_id, "cluster.create", request, new)
            if earlier is not None:
                return earlier
            if await clusters.count_clusters(tx) >= MAX_CLUSTERS:
                raise ExhaustedError(f"an org has at most {MAX_CLUSTERS} clusters")
            # No token of a shared secret belongs to it.
            digest = secrets.token_bytes(32)
            if not await clusters.create_cluster(tx, cluster, pool, digest, new.created_at):
                raise AlreadyExistsError(
                    f"cluster {cluster} exists; `volary cluster join-token {cluster}` replaces "
                    "its agent"
                )
            await store.create_enrolment(tx, new, digest_of(token))
            detail = {"pool": pool, "auto_accept": str(auto_accept).lower()}
            target = f"cluster:{cluster}"
            await record(tx, self._clock, caller, "cluster.create", target, detail=detail)
        log.info("cluster created", extra={"cluster": cluster, "by": caller.subject})
        return JoinToken(enrolment=new, token=token)

    async def create_token(
        self, caller: Caller, name: str, *, auto_accept: bool = False, request_id: str = ""
    ) -> JoinToken:
        """
        Create a join token for an existing cluster; its agent goes on until another is accepted.

        NotFoundError, ExhaustedError.
        """
        caller.require(Permission.CLUSTER_WRITE)
        cluster = ClusterName(name)
        new = self._new_enrolment(caller, cluster, auto_accept=auto_accept)
        token = new_secret()
        async with self._database.for_org(caller.org) as tx:
            await _lock_cluster(tx, cluster)
            request = {"cluster": cluster, "auto_accept": auto_accept}
            earlier = await self._claim(tx, request_id, "cluster.join_token", request, new)
            if earlier is not None:
                return earlier
            await store.delete_ended(tx, new.created_at - ENDED_KEPT)
            if await store.count_enrolments(tx) >= MAX_ENROLMENTS:
                raise ExhaustedError(
                    f"an org has at most {MAX_ENROLMENTS} enrolments; revoke clusters that are gone"
                )
            await store.create_enrolment(tx, new, digest_of(token))
            detail = {"auto_accept": str(auto_accept).lower(), "enrolment": str(new.id)}
            target = f"cluster:{cluster}"
            await record(tx, self._clock, caller, "cluster.join_token", target, detail=detail)
        log.info("join token created", extra={"cluster": cluster, "by": caller.subject})
        return JoinToken(enrolment=new, token=token)

    async def list(self, caller: Caller, name: str = "") -> Sequence[Enrolment]:
        """List the enrolments that are open, waiting or accepted, of a cluster or of all."""
        caller.require(Permission.CLUSTER_READ)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_enrolments(tx, ClusterName(name) if name else None)
        return [each for each in found if each.state(now) is not EnrolmentState.ENDED]

    async def accept(self, caller: Caller, name: str, *, key: str = "") -> Enrolment:
        """
        Accept the agent that waits for a cluster; the cluster's earlier agent is revoked.

        ``key``: the fingerprint that the agent logs; required if several agents wait.
        Idempotent. NotFoundError, ConflictError.
        """
        caller.require(Permission.CLUSTER_WRITE)
        cluster = ClusterName(name)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            await _lock_cluster(tx, cluster)
            known = await store.list_enrolments(tx, cluster)
            waiting = [each for each in known if each.state(now) is EnrolmentState.WAITING]
            chosen = [each for each in waiting if key in ("", name_key(each.public_key))]
            if not chosen:
                accepted = [
                    each
                    for each in known
                    if each.accepted_at and key in ("", name_key(each.public_key))
                ]
                if accepted and (key or not waiting):
                    return accepted[0]
                raise NotFoundError(
                    "waiting agent of cluster",
                    name,
                    there_are=[name_key(each.public_key) for each in waiting],
                )
            if len(chosen) > 1:
                keys = ", ".join(name_key(each.public_key) for each in chosen)
                raise ConflictError(
                    f"several agents wait for cluster {name}: {keys}; name the key that your agent "
                    "logs with --key"
                )
            await self._accept(tx, chosen[0], caller, now)
        log.info("agent accepted", extra={"cluster": cluster, "by": caller.subject})
        return replace(chosen[0], accepted_at=now, accepted_by=caller.subject)

    async def revoke(self, caller: Caller, name: str) -> int:
        """
        Revoke a cluster's identity: certificates, join tokens, and the shared token if it had one.

        The agent's session ends at once, on any replica, and nothing that it sent and that is not
        committed is applied. Returns how many certificates were valid. Idempotent. NotFoundError.
        """
        caller.require(Permission.CLUSTER_WRITE)
        cluster = ClusterName(name)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            await _lock_cluster(tx, cluster)
            await store.end_enrolments(tx, cluster, "revoked", now)
            revoked = await certificates.revoke_certificates(tx, cluster, now)
            await _end_session(tx, cluster)
            detail = {"certificates": str(revoked)}
            target = f"cluster:{cluster}"
            await record(tx, self._clock, caller, "cluster.revoke", target, detail=detail)
        log.warning("agent identity revoked", extra={"cluster": cluster, "by": caller.subject})
        return revoked

    async def enrol(
        self, token: SecretText, request: bytes, *, peer: str, software: str
    ) -> Enrolled:
        """
        Use a join token with a signing request; return the certificate once it is accepted.

        Asking again with the same key returns the same answer. UnauthenticatedError: the token is
        unknown, used by another key, expired or withdrawn. InvalidError: a bad request.
        """
        digest = digest_of(token)
        async with self._database.for_fleet("find the org of a join token") as fleet:
            org = await store.find_org_of_token(fleet, digest)
            deletion = None if org is None else await find_deletion(fleet, org)
        if org is None:
            raise UnauthenticatedError(f"no such join token; {_NEW_TOKEN}")
        if deletion is not None:
            raise UnauthenticatedError(explain_deletion(org, deletion))
        public_key = parse_request(request)
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            cluster = await store.find_cluster_of_token(tx, digest)
            if cluster is not None:
                await clusters.lock_cluster(tx, cluster)
            enrolment = await store.lock_by_token(tx, digest)
            if enrolment is None:
                raise UnauthenticatedError(f"no such join token; {_NEW_TOKEN}")
            _require_usable(enrolment, public_key, now)
            agent = _as_caller(org, enrolment.cluster, peer)
            if enrolment.used_at is None:
                enrolment = replace(
                    enrolment, public_key=public_key, used_at=now, expires_at=now + ACCEPT_WITHIN
                )
                await store.use_token(
                    tx,
                    enrolment.id,
                    public_key,
                    peer=peer,
                    software=software,
                    expires_at=enrolment.expires_at,
                    now=now,
                )
                detail = {"key": name_key(public_key), "enrolment": str(enrolment.id)}
                target = f"cluster:{enrolment.cluster}"
                await record(tx, self._clock, agent, "cluster.enrol", target, detail=detail)
                if enrolment.auto_accept:
                    await self._accept(tx, enrolment, agent, now)
                    enrolment = replace(enrolment, accepted_at=now)
            certificate = None
            if enrolment.accepted_at is not None:
                certificate = await self._certify(tx, enrolment, now)
        return Enrolled(
            org=org,
            cluster=enrolment.cluster,
            key=name_key(public_key),
            certificate=certificate,
        )

    async def _accept(self, tx: OrgTx, enrolment: Enrolment, by: Caller, now: datetime) -> None:
        """Accept an enrolment; the cluster's others end, and their certificates are revoked."""
        cluster = enrolment.cluster
        because = f"replaced by enrolment {enrolment.id}"
        await store.end_enrolments(tx, cluster, because, now, but=enrolment.id)
        revoked = await certificates.revoke_certificates(tx, cluster, now, but=enrolment.id)
        await _end_session(tx, cluster)
        limit = now + ACCEPT_WITHIN
        await store.accept(tx, enrolment.id, by=by.subject, expires_at=limit, now=now)
        detail = {"key": name_key(enrolment.public_key), "revoked": str(revoked)}
        await record(tx, self._clock, by, "cluster.accept", f"cluster:{cluster}", detail=detail)

    async def _certify(self, tx: OrgTx, enrolment: Enrolment, now: datetime) -> AgentCertificate:
        """Return the first certificate of an enrolment, the same one until it is in use."""
        issued = await certificates.list_certificates(tx, enrolment.id)
        if any(each.confirmed_at for each in issued):
            raise UnauthenticatedError(
                f"the join token has served its purpose: its certificate is in use; {_NEW_TOKEN}"
            )
        if enrolment.expires_at <= now:
            raise UnauthenticatedError(f"the accepted agent did not connect in time; {_NEW_TOKEN}")
        for each in issued:
            if each.expires_at > now:
                return each
        return await certify(tx, self._authorities, enrolment.id, enrolment, now)

    async def _claim(
        self, tx: OrgTx, request_id: str, method: str, request: dict[str, object], new: Enrolment
    ) -> JoinToken | None:
        earlier = await claim_request(
            tx,
            Subject(new.created_by),
            request_id,
            method,
            request,
            made=new.id,
            now=new.created_at,
        )
        if earlier is None:
            return None
        found = await store.find_enrolment(tx, earlier)
        if found is None:
            raise NotFoundError("enrolment", earlier)
        return JoinToken(enrolment=found, token=None)

    def _new_enrolment(
        self, caller: Caller, cluster: ClusterName, *, auto_accept: bool
    ) -> Enrolment:
        now = self._clock.now()
        return Enrolment(
            id=new_uuid(now),
            cluster=cluster,
            auto_accept=auto_accept,
            created_by=caller.subject,
            created_at=now,
            expires_at=now + JOIN_TOKEN_LIFE,
        )


async def certify(
    tx: OrgTx,
    authorities: AuthoritySet,
    enrolment: UUID,
    holder: Enrolment | AgentCertificate,
    now: datetime,
) -> AgentCertificate:
    """Issue and store a certificate for the holder's cluster and public key."""
    authority = authorities.current(now)
    issued = issue(authority, holder.public_key, org=tx.org, cluster=holder.cluster, now=now)
    certificate = AgentCertificate(
        serial=issued.serial,
        fingerprint=issued.fingerprint,
        enrolment=enrolment,
        cluster=holder.cluster,
        authority=authority.id,
        public_key=holder.public_key,
        pem=issued.pem,
        created_at=now,
        expires_at=issued.expires_at,
    )
    await certificates.insert_certificate(tx, certificate)
    log.info(
        "agent certificate issued",
        extra={"cluster": holder.cluster, "org": tx.org, "serial": issued.serial},
    )
    return certificate


def _require_usable(enrolment: Enrolment, public_key: bytes, now: datetime) -> None:
    if enrolment.used_at is not None and enrolment.public_key != public_key:
        log.warning(
            "used join token presented again by another key",
            extra={"cluster": enrolment.cluster, "key": name_key(public_key)},
        )
        raise UnauthenticatedError(
            f"the join token was used by another key; {_NEW_TOKEN}. If no other agent of yours "
            "used it, revoke the identity of the cluster"
        )
    if enrolment.ended_at is not None:
        raise UnauthenticatedError(
            f"the enrolment has ended ({enrolment.ended_because}); {_NEW_TOKEN}"
        )
    if enrolment.state(now) is EnrolmentState.ENDED:
        why = "was not accepted in time" if enrolment.used_at else "has expired"
        raise UnauthenticatedError(f"the join token {why}; {_NEW_TOKEN}")


def _as_caller(org: OrgName, cluster: ClusterName, peer: str) -> Caller:
    return Caller(subject=Subject(f"agent:{cluster}"), org=org, name=cluster, peer=peer)


async def _lock_cluster(tx: OrgTx, cluster: ClusterName) -> None:
    if not await clusters.lock_cluster(tx, cluster):
        raise NotFoundError("cluster", cluster)


async def _end_session(tx: OrgTx, cluster: ClusterName) -> None:
    await clusters.end_identity(tx, cluster, secrets.token_bytes(32))
    await notify_cluster(tx, cluster)
