"""Parses triggers of artifacts, and builds the run that one starts for a version."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC

from flyteidl2.artifact.artifact_pb2 import ArtifactSpec
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.common_pb2 import ArtifactTrigger, Inputs, TriggerAutomationSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.trigger.trigger_definition_pb2 import TriggerSpec
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from google.protobuf.message import DecodeError

from controlplane.api.convert import keys
from controlplane.api.convert.literal_types import takes
from controlplane.api.convert.runs import parse_run_request
from controlplane.api.convert.strings import parse_text
from controlplane.core.actions import RunSource, RunTrigger
from controlplane.core.artifact_triggers import DueVersion, name_run
from controlplane.core.artifacts import (
    MAX_PARTITION_KEYS,
    ArtifactRow,
    parse_artifact_name,
    parse_artifact_version,
)
from controlplane.core.errors import InvalidError
from controlplane.core.relations import Relation, RelationType
from controlplane.core.runs import RunRequest
from controlplane.core.triggers import ArtifactMatch
from shared.model.ids import OrgName, RunName

_FIELD = "automation_spec.artifact"
_MAX_VALUE = 1_000
_KINDS = frozenset({SimpleType.STRING, SimpleType.DATETIME})
_TEXT = LiteralType(simple=SimpleType.STRING)


def parse_match(automation: TriggerAutomationSpec) -> ArtifactMatch | None:
    """Parse which versions a trigger fires for; None: it is not one of artifacts."""
    if automation.WhichOneof("automation") != "artifact":
        return None
    message = automation.artifact
    if len(message.partitions) > MAX_PARTITION_KEYS:
        raise InvalidError(f"{_FIELD}.partitions: at most {MAX_PARTITION_KEYS} keys")
    version = message.version
    return ArtifactMatch(
        name=parse_artifact_name(message.artifact_name, f"{_FIELD}.artifact_name"),
        version=parse_artifact_version(version, f"{_FIELD}.version") if version else "",
        partitions={
            key: parse_text(value, f"{_FIELD}.partitions.{key}", most=_MAX_VALUE)
            for key, value in message.partitions.items()
        },
    )


def check_bound_inputs(automation: TriggerAutomationSpec, task: TaskSpec) -> Collection[str]:
    """Return the inputs that a version gives; InvalidError for one that the task does not have."""
    if automation.WhichOneof("automation") != "artifact":
        return ()
    message = automation.artifact
    types = _input_types(task)
    arguments = [message.input_arg] if message.input_arg else []
    for argument in (*arguments, *message.partition_input_args):
        if argument not in types:
            there_are = ", ".join(sorted(types)) or "none"
            raise InvalidError(
                f"{_FIELD}: the task has no input {argument!r}; there is {there_are}"
            )
    for argument, key in message.partition_input_args.items():
        if not any(takes(types[argument], kind) for kind in _KINDS):
            raise InvalidError(
                f"{_FIELD}.partition_input_args: input {argument!r} gets the value of partition"
                f" {key!r}, so it has to be a string or a datetime"
            )
    return (*arguments, *message.partition_input_args)


def build_artifact_run(due: DueVersion, org: OrgName, *, base: str) -> RunRequest:
    """
    Build the run of a trigger for a version, by the rules for a caller's CreateRunRequest.

    InvalidError if the version has no partition that the trigger names, or its type is not the
    input's.
    """
    row, artifact = due.row, due.artifact
    key = name_run(org, row.key, artifact.key)
    spec = TriggerSpec.FromString(row.spec)
    request = CreateRunRequest(run_id=keys.render_run(org, key), run_spec=spec.run_spec)
    try:
        request.inputs.CopyFrom(Inputs.FromString(due.inputs))
    except DecodeError as error:
        raise InvalidError(
            f"the inputs of trigger {row.key} are damaged; deploy it again"
        ) from error
    version = ArtifactSpec.FromString(artifact.spec)
    given = _bind(
        TriggerAutomationSpec.FromString(row.automation).artifact,
        artifact,
        version,
        _input_types(TaskSpec.FromString(due.task_spec)),
    )
    kept = [each for each in request.inputs.literals if each.name not in given]
    del request.inputs.literals[:]
    request.inputs.literals.extend(kept)
    for name, literal in given.items():
        request.inputs.literals.add(name=name, value=literal)
    trigger = RunTrigger(
        task_name=row.key.task_name,
        name=row.key.name,
        revision=row.revision,
        automation=row.automation,
    )
    parsed = parse_run_request(
        request, key, due.task_spec, due.effective, org=org, base=base, trigger=trigger
    )
    run = version.source.task_action.action.run
    is_here = (run.project, run.domain) == (row.key.project, row.key.domain)
    new = replace(
        parsed.new,
        source=RunSource.ARTIFACT_TRIGGER,
        started_at=artifact.created_at,
        relation=Relation(RelationType.ON_ARTIFACT, RunName(run.name)) if is_here else None,
    )
    return replace(parsed, new=new)


def require_no_bound_inputs(automation: bytes) -> None:
    """Raise InvalidError if a run by hand with the trigger's inputs lacks those of a version."""
    message = TriggerAutomationSpec.FromString(automation)
    if message.WhichOneof("automation") != "artifact":
        return
    bound = [message.artifact.input_arg, *message.artifact.partition_input_args]
    named = ", ".join(each for each in bound if each)
    if named:
        raise InvalidError(
            f"inputs: a version of artifact {message.artifact.artifact_name} gives {named}, and by"
            " hand there is none; start the run with flyte.run(trigger, …) and give these inputs"
        )


def _bind(
    message: ArtifactTrigger,
    artifact: ArtifactRow,
    version: ArtifactSpec,
    types: Mapping[str, LiteralType],
) -> Mapping[str, Literal]:
    given: dict[str, Literal] = {}
    if message.input_arg:
        wanted = types[message.input_arg].WhichOneof("type") if message.input_arg in types else None
        has = version.type.WhichOneof("type")
        if wanted not in (None, "union_type", has):
            raise InvalidError(
                f"artifact {artifact.key} is of type {has}, and input {message.input_arg!r} of the"
                f" task of type {wanted}"
            )
        given[message.input_arg] = version.value
    partition = artifact.partition
    for argument, key in message.partition_input_args.items():
        literal = Literal()
        wanted = types.get(argument, _TEXT)
        if partition.time is not None and key == partition.time_key:
            if takes(wanted, SimpleType.DATETIME):
                literal.scalar.primitive.datetime.FromDatetime(partition.time)
            else:
                literal.scalar.primitive.string_value = partition.time.astimezone(UTC).isoformat()
        elif key in partition.values and takes(wanted, SimpleType.STRING):
            literal.scalar.primitive.string_value = partition.values[key]
        elif key in partition.values:
            raise InvalidError(
                f"partition {key!r} of artifact {artifact.key} is text, and input {argument!r} of"
                " the task is a datetime"
            )
        else:
            raise InvalidError(f"artifact {artifact.key} has no partition {key!r}")
        given[argument] = literal
    return given


def _input_types(task: TaskSpec) -> Mapping[str, LiteralType]:
    return {entry.key: entry.value.type for entry in task.task_template.interface.inputs.variables}
