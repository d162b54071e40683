"""Identify the caller: the attempt that the agent wrote on the pod whose token is presented."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from dataplane.agent.kube.names import render_namespace
from dataplane.agent.kube.objects import (
    ACTION_LABEL,
    ATTEMPT_LABEL,
    DOMAIN_LABEL,
    INPUT_URI_ANNOTATION,
    LEASE_ANNOTATION,
    ORG_LABEL,
    OUTPUT_PREFIX_ANNOTATION,
    PROJECT_LABEL,
    RAW_DATA_PREFIX_ANNOTATION,
    RUN_BASE_ANNOTATION,
    RUN_LABEL,
    Name,
    Object,
    name_of,
)
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)

_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An attempt whose pod is alive, and the data it owns."""

    pod: Name
    uid: str
    org: OrgName
    action: ActionKey
    attempt: AttemptId
    lease: LeaseId | None  # None: a pod of a release before tokens of tasks
    input_uri: str
    output_prefix: str
    raw_data_prefix: str
    run_base: str

    @property
    def run(self) -> RunKey:
        return self.action.run


def identify(pod: Object) -> Caller:
    """Read the attempt from a pod; PodCallRefusedError if it is not the agent's, or has ended."""
    name = name_of(pod)
    phase = (pod.get("status") or {}).get("phase", "")
    if phase in _OVER:
        raise PodCallRefusedError(
            Code.PERMISSION_DENIED,
            f"the pod {name} has ended ({phase}); its token is no longer accepted",
        )
    fields: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    try:
        run = RunKey(
            ProjectName(fields[PROJECT_LABEL]),
            DomainName(fields[DOMAIN_LABEL]),
            RunName(fields[RUN_LABEL]),
        )
        return Caller(
            pod=name,
            uid=pod["metadata"]["uid"],
            org=OrgName(fields[ORG_LABEL]),
            action=ActionKey(run, ActionName(fields[ACTION_LABEL])),
            attempt=_parse_attempt(fields[ATTEMPT_LABEL]),
            lease=LeaseId(UUID(fields[LEASE_ANNOTATION])) if LEASE_ANNOTATION in fields else None,
            input_uri=fields[INPUT_URI_ANNOTATION],
            output_prefix=fields[OUTPUT_PREFIX_ANNOTATION],
            raw_data_prefix=fields[RAW_DATA_PREFIX_ANNOTATION],
            run_base=fields[RUN_BASE_ANNOTATION],
        )
    except KeyError as error:
        raise PodCallRefusedError(
            Code.PERMISSION_DENIED,
            f"the pod {name} does not belong to an attempt of this agent: it has no annotation {error}",
        ) from error
    except ValueError as error:
        raise PodCallRefusedError(
            Code.PERMISSION_DENIED,
            f"the pod {name} does not belong to an attempt of this agent: its annotation"
            f" {ATTEMPT_LABEL} or {LEASE_ANNOTATION} is malformed",
        ) from error


def require_own_namespace(caller: Caller, template: str) -> None:
    """
    Raise PodCallRefusedError unless tasks of the caller's org, project and domain run in its pod's namespace.

    So who may write pods in one project's namespace cannot act as a task of another project.
    """
    run = caller.run
    values = {"org": caller.org, "project": run.project, "domain": run.domain}
    if caller.pod.namespace != render_namespace(template, values):
        raise PodCallRefusedError(
            Code.PERMISSION_DENIED,
            f"the pod {caller.pod} names {run.project}/{run.domain} of {caller.org} in its"
            " annotations, whose tasks run in another namespace",
        )


def _parse_attempt(text: str) -> AttemptId:
    """Parse an AttemptId as it is printed; ValueError."""
    action, _, number = text.rpartition("-")
    return AttemptId(ActionId(UUID(action)), int(number))
