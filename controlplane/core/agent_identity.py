"""
Identity of agents: enrolments, certificates, and the rules by which a certificate is accepted.

An enrolment begins as a join token, which one key pair uses; once accepted it has certificates,
each of which replaces the one before. A cluster has at most one accepted enrolment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from controlplane.core.errors import UnauthenticatedError
from shared.kit.secrets import SecretText
from shared.model.ids import ClusterName

JOIN_TOKEN_LIFE = timedelta(minutes=15)
ACCEPT_WITHIN = timedelta(days=1)
"""How long a used join token waits for acceptance, and its certificate for a first session."""
CERTIFICATE_LIFE = timedelta(hours=72)
"""Agents renew after a third of it; one that is off for longer has to enrol again."""
ENDED_KEPT = timedelta(days=30)
"""How long ended enrolments, and certificates that have expired, are kept."""
MAX_CLUSTERS = 1_000
MAX_ENROLMENTS = 1_000
PAST_INSTANCES = 50
"""Superseded instances that are remembered for each certificate."""


class EnrolmentState(StrEnum):
    OPEN = "open"  # its join token can be used
    WAITING = "waiting"  # a key pair has used it; an operator has to accept it
    ACCEPTED = "accepted"
    ENDED = "ended"  # refused, revoked, replaced by another, or too old


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A join token, and the key pair that has used it."""

    id: UUID
    cluster: ClusterName
    auto_accept: bool
    created_by: str
    created_at: datetime
    expires_at: datetime  # of the join token; once used, of the wait for acceptance
    public_key: bytes = b""  # SubjectPublicKeyInfo; b"": the token is not used
    used_at: datetime | None = None
    peer: str = ""  # address that used it
    software: str = ""
    accepted_at: datetime | None = None
    accepted_by: str = ""
    ended_at: datetime | None = None
    ended_because: str = ""

    def state(self, now: datetime) -> EnrolmentState:
        if self.ended_at is not None:
            return EnrolmentState.ENDED
        if self.accepted_at is not None:
            return EnrolmentState.ACCEPTED
        if self.expires_at <= now:
            return EnrolmentState.ENDED
        return EnrolmentState.OPEN if self.used_at is None else EnrolmentState.WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """An enrolment with its token, which is shown once; None for a repeated request."""

    enrolment: Enrolment
    token: SecretText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCertificate:
    """A certificate that was issued to an agent; ``pem`` is public."""

    serial: str  # hexadecimal
    fingerprint: bytes  # SHA-256 of the certificate
    enrolment: UUID
    cluster: ClusterName
    authority: UUID
    public_key: bytes  # SubjectPublicKeyInfo
    pem: str
    created_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None = None  # when the first session was opened with it
    retired_at: datetime | None = None  # when its successor was confirmed
    revoked_at: datetime | None = None
    instance_id: str = ""  # the agent's process that uses it
    past_instances: Sequence[str] = ()  # superseded ones, the oldest first


class Refusal(StrEnum):
    """Reasons why a certificate opens no session."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    RETIRED = "retired"  # by its own process: the answer that confirmed the successor was lost
    CLONED = "cloned"  # two live processes have the same key, or an old copy of it


class ExpelledAgentError(UnauthenticatedError):
    """
    The agent has no place any more: its org was deleted, or its identity was revoked or deleted.

    It is told to end its attempts. ``retry_after``: when it may ask again; None: it gives up.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def check_certificate(certificate: AgentCertificate, now: datetime) -> Refusal | None:
    """Return why a certificate is not valid for a call; None if it is."""
    if certificate.revoked_at is not None:
        return Refusal.REVOKED
    if certificate.expires_at <= now:
        return Refusal.EXPIRED
    return None if certificate.retired_at is None else Refusal.RETIRED


def check_session(
    certificate: AgentCertificate, instance_id: str, current_instance: str, now: datetime
) -> Refusal | None:
    """
    Return why a certificate does not open a session for a process; None if it does.

    A process has one instance id for its life. So one that was superseded by another and is back
    proves that both are alive: two agents have the same key. ``current_instance`` is the process
    that has the latest session of the enrolment. A retired certificate in the hands of any other
    process is a copy, or a backup that was restored.
    """
    refusal = check_certificate(certificate, now)
    if refusal is Refusal.RETIRED and instance_id != current_instance:
        return Refusal.CLONED
    if refusal is None and instance_id in certificate.past_instances:
        return Refusal.CLONED
    return refusal


def next_instances(certificate: AgentCertificate, instance_id: str) -> Sequence[str]:
    """Return the superseded instances of a certificate once ``instance_id`` has a session."""
    if certificate.instance_id in ("", instance_id):
        return certificate.past_instances
    return (*certificate.past_instances, certificate.instance_id)[-PAST_INSTANCES:]


def describe_refusal(refusal: Refusal, cluster: str) -> str:
    """Return the message for the agent, with its remedy."""
    again = "enrol again with a new join token (`volary cluster join-token`)"
    match refusal:
        case Refusal.REVOKED:
            return f"the certificate of cluster {cluster} was revoked; {again}"
        case Refusal.EXPIRED:
            return (
                f"the certificate of cluster {cluster} has expired, because the agent was off for "
                f"too long; {again}"
            )
        case Refusal.RETIRED:
            return "a newer certificate has replaced this one; use the newer one"
        case Refusal.CLONED:
            return (
                f"another agent has the identity of cluster {cluster}: its key was copied, or a "
                "backup of it was restored; stop the copy, or revoke the identity "
                f"(`volary cluster revoke {cluster}`) and {again}"
            )
