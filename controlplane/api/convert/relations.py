"""Parses why a run refers to another, and clears what a copied RunSpec has of the other run."""

from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.common.run_pb2 import Relation as RelationMessage
from flyteidl2.task.run_pb2 import (
    TASK_SPEC_SOURCE_DEPLOYED,
    TASK_SPEC_SOURCE_EPHEMERAL,
    RunSpec,
)
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

from controlplane.api.convert import keys
from controlplane.core import names
from controlplane.core.errors import InvalidError
from controlplane.core.relations import MOST_FORCED, Relation, RelationType
from shared.model.ids import ActionName, RunKey

_OF_CLIENTS = (RelationType.RERUN, RelationType.RECOVER, RelationType.SPAWN)
_COPIES = (RelationType.RERUN, RelationType.RECOVER)


def parse_relation(settings: RunSpec, run: RunKey) -> Relation | None:
    """Parse the relation of a new run; InvalidError for one that only the server may set."""
    relation = _read_relation(settings)
    if relation is None:
        return None
    types = {each.value: each for each in RelationType}
    kind = types.get(relation.relation_type, RelationType.NONE)
    if kind not in _OF_CLIENTS:
        raise InvalidError(
            "run_spec.relation.relation_type: must be RERUN, RECOVER or SPAWN; the others are set"
            " by the control plane"
        )
    related = keys.parse_run(relation.related_to)
    if (related.project, related.domain) != (run.project, run.domain):
        raise InvalidError(
            f"run_spec.relation.related_to: {related} is not in {run.project}/{run.domain};"
            " a run can only be related to one of its own project and domain"
        )
    return Relation(kind, related.name)


def parse_forced(settings: RunSpec, relation: Relation | None) -> list[ActionName]:
    """Parse the names of the actions that a recovery runs again, sorted."""
    if not settings.HasField("recover"):
        return []
    if relation is None or relation.type is not RelationType.RECOVER:
        raise InvalidError(
            "run_spec.recover: needs a run_spec.relation of type RECOVER, which names the run to"
            " recover"
        )
    forced = {names.parse_action(name) for name in settings.recover.force_rerun_actions}
    if len(forced) > MOST_FORCED:
        raise InvalidError(
            f"run_spec.recover.force_rerun_actions: at most {MOST_FORCED}, not {len(forced)};"
            " rerun the run instead"
        )
    return sorted(forced)


def normalise(request: CreateRunRequest, relation: Relation | None, run: RunKey) -> RunSpec:
    """
    Return the RunSpec to store: with its relation in the current field, and with what the
    control plane sets in place of what a client copied from another run.

    A rerun keeps ``run_start_time``, because that is an input of tasks that read their start,
    and the source of the task's spec, because the copied spec still has it.
    """
    settings = RunSpec()
    settings.CopyFrom(request.run_spec)
    settings.ClearField("related_to")
    settings.ClearField("relation")
    if relation is not None:
        settings.relation.CopyFrom(
            RelationMessage(
                related_to=RunIdentifier(
                    org=_org_of(request.run_spec),
                    project=run.project,
                    domain=run.domain,
                    name=relation.run,
                ),
                relation_type=relation.type.value,
            )
        )
    is_copy = relation is not None and relation.type in _COPIES
    if is_copy:
        settings.ClearField("cluster_pool")
    if request.WhichOneof("task") != "task_spec":
        settings.task_spec_source = TASK_SPEC_SOURCE_DEPLOYED
    elif not is_copy:
        settings.task_spec_source = TASK_SPEC_SOURCE_EPHEMERAL
    return settings


def _read_relation(settings: RunSpec) -> RelationMessage | None:
    """Read the relation; the deprecated ``related_to`` alone means a rerun."""
    has_relation = settings.HasField("relation")
    if not settings.HasField("related_to"):
        return settings.relation if has_relation else None
    if has_relation and settings.relation.related_to != settings.related_to:
        raise InvalidError(
            "run_spec: relation and the deprecated related_to name different runs; leave"
            " related_to out"
        )
    if has_relation:
        return settings.relation
    return RelationMessage(related_to=settings.related_to, relation_type=RelationType.RERUN.value)


def _org_of(settings: RunSpec) -> str:
    relation = _read_relation(settings)
    return str(relation.related_to.org) if relation is not None else ""
