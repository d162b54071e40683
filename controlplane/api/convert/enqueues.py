"""
Parses enqueued actions: a task to run, a trace to record, a condition to wait for.

ActionsService and the older QueueService send them in messages that differ in name only.
"""

from dataclasses import dataclass

from flyteidl2.actions.actions_service_pb2 import Action as ActionMessage
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument, ExecutionError
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.workflow.queue_service_pb2 import EnqueueActionRequest
from flyteidl2.workflow.run_definition_pb2 import ConditionAction, TaskAction, TraceAction
from google.protobuf.message import DecodeError

from controlplane.api.convert import keys
from controlplane.api.convert.cache_keys import parse_child_cache
from controlplane.api.convert.specs import (
    parse_condition_spec,
    parse_task_spec,
    parse_trace_spec,
)
from controlplane.api.convert.strings import parse_label, parse_text, parse_uri
from controlplane.api.convert.timestamps import parse_duration, parse_timestamp
from controlplane.core.actions import (
    ActionType,
    ConditionInfo,
    NewAction,
    Spec,
    TaskInfo,
    TraceInfo,
)
from controlplane.core.caching import CacheRequest
from controlplane.core.errors import InvalidError
from controlplane.core.notifications import MAX_URL
from shared.model.ids import ROOT
from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, Failure, FailureKind

MAX_PAYLOAD_BYTES = 64 * 1024

_MOST_CODE = 200
_TRACE_ENDS = frozenset({Phase.SUCCEEDED, Phase.FAILED})
_SIGNALLED_TYPES = frozenset(
    {SimpleType.BOOLEAN, SimpleType.INTEGER, SimpleType.FLOAT, SimpleType.STRING}
)
# A failed trace is enqueued without its error; the error.pb beside its outputs has it.
_TRACE_FAILURE = Failure(
    code="TraceFailed",
    kind=FailureKind.USER,
    message="the traced function raised; see its error.pb for the error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _KindFields:
    """Fields in which the kinds of actions differ."""

    type: ActionType
    spec: Spec
    info: TaskInfo
    cache: CacheRequest | None = None
    queue: str = ""
    trace: TraceInfo | None = None
    condition: ConditionInfo | None = None


def parse_enqueue(message: ActionMessage | EnqueueActionRequest) -> NewAction:
    key = keys.parse_action(message.action_id)
    if key.name == ROOT:
        raise InvalidError(f"action_id.name: {ROOT} is the run's own action; create a run for it")
    parent = keys.parse_parent(message.parent_action_name)
    if parent is None:
        raise InvalidError("parent_action_name: is empty; only a run's root action has no parent")
    fields = _parse_kind(message)
    return NewAction(
        key=key,
        parent=parent,
        type=fields.type,
        spec=fields.spec,
        info=fields.info,
        input_uri=parse_uri(message.input_uri, "input_uri"),
        group=parse_label(message.group),
        cache=fields.cache,
        queue=fields.queue,
        trace=fields.trace,
        condition=fields.condition,
    )


def _parse_kind(message: ActionMessage | EnqueueActionRequest) -> _KindFields:
    match message.WhichOneof("spec"):
        case "task":
            return _parse_task(message.task)
        case "trace":
            return _parse_trace(message.trace)
        case _:
            return _parse_condition(message.condition)


def _parse_task(message: TaskAction) -> _KindFields:
    spec, info = parse_task_spec(message.spec)
    return _KindFields(
        type=ActionType.TASK,
        spec=spec,
        info=info,
        cache=parse_child_cache(message.spec.task_template, message.cache_key.value),
        queue=parse_text(message.queue, "task.queue", most=256),
    )


def _parse_trace(message: TraceAction) -> _KindFields:
    if message.phase not in {end.value for end in _TRACE_ENDS}:
        raise InvalidError("trace.phase: must be SUCCEEDED or FAILED; enqueue a trace when it ends")
    phase = Phase(message.phase)
    started_at = parse_timestamp(message.start_time, "trace.start_time")
    ended_at = parse_timestamp(message.end_time, "trace.end_time")
    return _KindFields(
        type=ActionType.TRACE,
        spec=parse_trace_spec(message.spec),
        info=TaskInfo(short_name=parse_label(message.name)),
        trace=TraceInfo(
            phase=phase,
            started_at=started_at,
            ended_at=max(ended_at, started_at) if message.HasField("end_time") else started_at,
            output_uri=parse_uri(message.outputs.output_uri, "trace.outputs.output_uri"),
            failure=_TRACE_FAILURE if phase is Phase.FAILED else None,
        ),
    )


def parse_error_document(body: bytes) -> Failure | None:
    """Read an error.pb; None when it is not one."""
    try:
        error = ErrorDocument.FromString(body).error
    except DecodeError:
        return None
    message = error.message.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
    system = error.origin == ExecutionError.SYSTEM
    return Failure(
        code=error.code[:_MOST_CODE].replace("\0", "") or _TRACE_FAILURE.code,
        kind=FailureKind.SYSTEM if system else FailureKind.USER,
        message=message[:MAX_MESSAGE_BYTES].decode(errors="ignore"),
        recoverable=error.kind == ContainerError.RECOVERABLE,
    )


def _parse_condition(message: ConditionAction) -> _KindFields:
    kind: LiteralType = message.type
    if kind.WhichOneof("type") != "simple" or kind.simple not in _SIGNALLED_TYPES:
        raise InvalidError("condition.type: must be a boolean, an integer, a float or a string")
    webhook = ""
    if message.HasField("webhook"):
        webhook = parse_text(message.webhook.url, "condition.webhook.url", most=MAX_URL)
        if not webhook:
            raise InvalidError("condition.webhook.url: is empty; give an https:// address")
        if message.webhook.payload.ByteSize() > MAX_PAYLOAD_BYTES:
            raise InvalidError(
                f"condition.webhook.payload: must have at most {MAX_PAYLOAD_BYTES} bytes"
            )
    timeout = None
    if message.HasField("timeout"):
        timeout = parse_duration(message.timeout, "condition.timeout") or None
    return _KindFields(
        type=ActionType.CONDITION,
        spec=parse_condition_spec(message),
        info=TaskInfo(short_name=parse_label(message.name)),
        condition=ConditionInfo(
            literal_type=kind.SerializeToString(deterministic=True),
            timeout=timeout,
            webhook=webhook,
        ),
    )
