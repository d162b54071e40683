"""
Use cases of agents with a certificate: authenticate a call, admit a session, renew.

A certificate is valid if its row says so: TLS only proves that the agent has the key. A session
is admitted in the transaction that opens it, and a renewal is confirmed by the session that the
agent opens with it, which retires the certificate before.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.authn.agent_authority import AuthoritySet, parse_request
from controlplane.core.agent_identity import (
    ENDED_KEPT,
    AgentCertificate,
    ExpelledAgentError,
    Refusal,
    check_certificate,
    check_session,
    describe_refusal,
    next_instances,
)
from controlplane.core.callers import Caller, Subject
from controlplane.core.deleted_orgs import AGENTS_RETURN_AFTER, explain_deletion
from controlplane.core.errors import (
    ConflictError,
    InvalidError,
    UnauthenticatedError,
)
from controlplane.store.agents import certificates as store, enrolments
from controlplane.store.database import Database, FleetTx, OrgTx
from controlplane.store.identity.deleted_orgs import find_deletion
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.resources import clusters
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.agents.enrolment import certify
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import ClusterName, OrgName

log = logging.getLogger(__name__)

_AUDIT_AGAIN = timedelta(hours=1)
"""A clone that keeps dialling is audited once an hour; each dial is logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdentity:
    """The cluster for which a call's credential stands; serial "": a shared token."""

    cluster: ClusterRef
    serial: str = ""
    expires_at: datetime | None = None


class AgentIdentities:
    """Use cases of certificates that agents present."""

    def __init__(self, database: Database, clock: Clock, authorities: AuthoritySet) -> None:
        self._database = database
        self._clock = clock
        self._authorities = authorities

    async def find(self, fingerprint: bytes, *, opens_session: bool = False) -> AgentIdentity:
        """
        Return whose certificate this is; UnauthenticatedError unless it is valid.

        ``opens_session``: a retired one is returned, too: :func:`admit` decides on it.
        """
        async with self._database.for_fleet("authenticate an agent") as tx:
            found = await store.find_by_fingerprint(tx, fingerprint)
            if found is not None:
                await require_agents_of(tx, found[0], self._clock.now())
                await _require_not_revoked(tx, *found)
        if found is None:
            raise UnauthenticatedError(
                "the control plane does not know this certificate; enrol again with a new join "
                "token (`volary cluster join-token`)"
            )
        org, certificate = found
        refusal = check_certificate(certificate, self._clock.now())
        if refusal is not None and not (opens_session and refusal is Refusal.RETIRED):
            raise UnauthenticatedError(describe_refusal(refusal, certificate.cluster))
        return AgentIdentity(
            cluster=ClusterRef(org, certificate.cluster),
            serial=certificate.serial,
            expires_at=certificate.expires_at,
        )

    async def renew(self, identity: AgentIdentity, request: bytes) -> AgentCertificate:
        """
        Issue the successor of a certificate, for a new key; asking again returns the same one.

        The agent's certificate stays valid until a session is opened with the successor.
        UnauthenticatedError, InvalidError, ConflictError (no session with this one yet).
        """
        public_key = parse_request(request)
        now = self._clock.now()
        async with self._database.for_org(identity.cluster.org) as tx:
            current = await store.lock_certificate(tx, identity.serial)
            refusal = Refusal.REVOKED if current is None else check_certificate(current, now)
            if current is None or refusal is not None:
                raise UnauthenticatedError(
                    describe_refusal(refusal or Refusal.REVOKED, identity.cluster.name)
                )
            if current.confirmed_at is None:
                raise ConflictError("open a session with this certificate before you renew it")
            if public_key == current.public_key:
                raise InvalidError("make a new key for each certificate")
            issued = await store.list_certificates(tx, current.enrolment)
            for each in issued:
                is_open = each.confirmed_at is None and each.expires_at > now
                if is_open and each.public_key == public_key:
                    return each
            await store.delete_unconfirmed(tx, current.enrolment)
            await store.delete_expired(tx, current.enrolment, now - ENDED_KEPT)
            holder = replace(current, public_key=public_key)
            return await certify(tx, self._authorities, current.enrolment, holder, now)


async def require_agents_of(tx: FleetTx, org: OrgName, now: datetime) -> None:
    """
    Raise ExpelledAgentError if the org was deleted, and its agents have had their time to stop.

    Until then they connect, get no work, and stop what they run.
    """
    deletion = await find_deletion(tx, org)
    if deletion is not None and deletion.agents_until <= now:
        raise ExpelledAgentError(
            f"{explain_deletion(org, deletion)}; uninstall this agent if it stays deleted",
            retry_after=None if deletion.is_final else AGENTS_RETURN_AFTER,
        )


async def _require_not_revoked(tx: FleetTx, org: OrgName, certificate: AgentCertificate) -> None:
    """
    Raise ExpelledAgentError if the identity was revoked, and no other agent has replaced this one.

    A replaced agent may share the attempts with its successor, so it is refused and ends none.
    """
    if certificate.revoked_at is None:
        return
    if not await enrolments.has_accepted(tx, org, certificate.cluster):
        raise ExpelledAgentError(describe_refusal(Refusal.REVOKED, certificate.cluster))


async def admit(
    tx: OrgTx, clock: Clock, cluster: ClusterName, serial: str, instance_id: str
) -> Refusal | None:
    """
    Confirm a certificate for the session that is being opened; return why not, if it is refused.

    Locks the cluster. A clone is noted: on the cluster, in the log and in the audit log; and the
    agent that has the session is told to renew, after which the other's key is worth nothing.
    The caller commits either way.
    """
    await clusters.lock_cluster(tx, cluster)
    certificate = await store.lock_certificate(tx, serial)
    if certificate is None:
        return Refusal.REVOKED
    now = clock.now()
    current_instance = await store.find_current_instance(tx, certificate.enrolment)
    refusal = check_session(certificate, instance_id, current_instance, now)
    if refusal is Refusal.CLONED:
        await _note_clone(tx, clock, certificate, refused=instance_id, serving=current_instance)
    if refusal is None:
        await store.confirm(
            tx, certificate, instance_id, next_instances(certificate, instance_id), now
        )
        if certificate.confirmed_at is None:
            await clusters.clear_renewal(tx, cluster)
    return refusal


async def _note_clone(
    tx: OrgTx, clock: Clock, certificate: AgentCertificate, *, refused: str, serving: str
) -> None:
    """Record that a second agent used the identity of a cluster, and was refused."""
    cluster, now = certificate.cluster, clock.now()
    instances = {"refused": refused, "serving": serving}
    log.warning("cloned agent identity", extra={"cluster": cluster, "org": tx.org, **instances})
    what = f"instance {refused} was refused, instance {serving} has the session"
    renew = "" if certificate.retired_at else certificate.serial
    before = await clusters.note_clone(tx, cluster, what, renew, now)
    if renew:
        await notify_cluster(tx, cluster)
    if before is None or now - before >= _AUDIT_AGAIN:
        agent = Caller(subject=Subject(f"agent:{cluster}"), org=tx.org, name=cluster)
        await record(tx, clock, agent, "cluster.clone", f"cluster:{cluster}", detail=instances)
