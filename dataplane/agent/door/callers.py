"""Who calls: an attempt, as the agent has written it on the pod that shows the token."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataplane.agent.door.refusals import Code, RefusedError
from dataplane.agent.kube.objects import (
    ACTION_LABEL,
    ATTEMPT_LABEL,
    DOMAIN_LABEL,
    INPUT_URI_ANNOTATION,
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
from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)

_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An attempt whose pod lives, and what is its own."""

    pod: Name
    uid: str
    org: OrgName
    action: ActionKey
    attempt: str  # an AttemptId as text
    input_uri: str
    output_prefix: str
    raw_data_prefix: str
    run_base: str

    @property
    def run(self) -> RunKey:
        return self.action.run


def identify(pod: Object) -> Caller:
    """Read the attempt off a pod; RefusedError if it is none of the agent's, or is over."""
    name = name_of(pod)
    phase = (pod.get("status") or {}).get("phase", "")
    if phase in _OVER:
        raise RefusedError(
            Code.PERMISSION_DENIED, f"the pod {name} has ended ({phase}); nobody may speak for it"
        )
    said: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    try:
        run = RunKey(
            ProjectName(said[PROJECT_LABEL]),
            DomainName(said[DOMAIN_LABEL]),
            RunName(said[RUN_LABEL]),
        )
        return Caller(
            pod=name,
            uid=pod["metadata"]["uid"],
            org=OrgName(said[ORG_LABEL]),
            action=ActionKey(run, ActionName(said[ACTION_LABEL])),
            attempt=said[ATTEMPT_LABEL],
            input_uri=said[INPUT_URI_ANNOTATION],
            output_prefix=said[OUTPUT_PREFIX_ANNOTATION],
            raw_data_prefix=said[RAW_DATA_PREFIX_ANNOTATION],
            run_base=said[RUN_BASE_ANNOTATION],
        )
    except KeyError as error:
        raise RefusedError(
            Code.PERMISSION_DENIED,
            f"the pod {name} is no attempt of this agent's: it has no annotation {error}",
        ) from error
