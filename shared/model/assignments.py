"""Assignments: what the control plane leases to a cluster to run."""

from dataclasses import dataclass
from datetime import datetime

from shared.model.ids import ActionKey, ActionName, AttemptId, Digest, LeaseId, OrgName


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """
    One attempt of an action, leased to one cluster.

    The task spec and the run spec are sent separately, by digest, because thousands of
    assignments share them. URIs are those of the org's object store; every attempt has
    an ``output_prefix`` of its own, so that a stale one cannot overwrite a result.
    """

    org: OrgName
    key: ActionKey
    attempt: AttemptId
    lease: LeaseId
    parent: ActionName | None
    task_type: str
    task_spec: Digest  # of a flyteidl2.task.TaskSpec
    run_spec: Digest  # of a flyteidl2.task.RunSpec
    input_uri: str  # the inputs.pb itself
    run_base: str  # {base}/{org}/{project}/{domain}/{run}: children's inputs go below it
    output_prefix: str  # {run_base}/{action}/{attempt}: outputs.pb, error.pb, report.html
    previous_output_prefix: str  # of the attempt before this one; "" for the first
    raw_data_prefix: str
    run_started_at: datetime
    # A disconnected agent stops it after its self-fence timeout, since its lease may then go to
    # another cluster.
    replaceable: bool = False
    traceparent: str = ""  # of the attempt's span; "" if no traces are recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAssignment:
    """An assignment of a kind that this release does not know; nothing else of it is read."""

    attempt: AttemptId
    lease: LeaseId
    kind: int  # its number on the wire
