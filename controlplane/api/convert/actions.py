"""Renders actions as flyteidl2 messages: rows, details, and the updates that a parent watches."""

from collections.abc import Iterable, Iterator, Sequence

from flyteidl2.common.run_pb2 import Relation as RelationMessage
from flyteidl2.core.execution_pb2 import (
    ContainerContext,
    ContainerError,
    ExecutionError,
    LogContext,
    PodLogContext,
    TaskLog,
)
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import LiteralType
from flyteidl2.task.common_pb2 import OutputReferences
from flyteidl2.task.task_definition_pb2 import TaskSpec, TraceSpec
from flyteidl2.workflow.run_definition_pb2 import (
    AbortInfo,
    Action,
    ActionAttempt,
    ActionDetails,
    ActionMetadata,
    ActionStatus,
    ClusterEvent as ClusterEventMessage,
    ConditionAction,
    ConditionActionMetadata,
    ErrorInfo,
    PhaseTransition,
    SignalInfo,
    TaskActionMetadata,
    TraceActionMetadata,
)
from flyteidl2.workflow.run_service_pb2 import WatchActionsResponse
from flyteidl2.workflow.state_service_pb2 import ActionUpdate

from controlplane.api.convert import keys
from controlplane.api.convert.identities import render_identity
from controlplane.api.convert.later_fields import set_later_text
from controlplane.api.convert.timestamps import set_microseconds, to_microseconds
from controlplane.core import layout
from controlplane.core.actions import (
    ActionDetail,
    ActionRow,
    ActionType,
    AttemptDetail,
    PhaseChange,
    RunSource,
    RunTrigger,
    SimilarActions,
)
from controlplane.core.caching import CacheSource, CacheStatus, status_of_attempt
from controlplane.core.profiles import NO_PROFILES, Profiles
from controlplane.core.relations import Relation
from controlplane.core.triggers import TriggerKey
from shared.model.ids import ActionKey, RunKey
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import ClusterEvent, Failure, FailureKind

_QUEUE = 4
_CONTAINER = "primary"  # as agents name the container of a task that names none
"""Number of TaskActionMetadata.queue, of flyteidl2 2.0.53."""

_ERROR_KINDS = {
    FailureKind.UNKNOWN: ErrorInfo.KIND_UNSPECIFIED,
    FailureKind.USER: ErrorInfo.KIND_USER,
    FailureKind.SYSTEM: ErrorInfo.KIND_SYSTEM,
    FailureKind.PREEMPTION: ErrorInfo.KIND_SYSTEM,
}
_EXECUTION_ERROR_KINDS = {
    FailureKind.UNKNOWN: ExecutionError.UNKNOWN,
    FailureKind.USER: ExecutionError.USER,
    FailureKind.SYSTEM: ExecutionError.SYSTEM,
    FailureKind.PREEMPTION: ExecutionError.SYSTEM,
}


def render_action(row: ActionRow, profiles: Profiles = NO_PROFILES) -> Action:
    return Action(
        id=keys.render_action(row.org, row.key),
        metadata=_render_metadata(row, profiles),
        status=_render_status(row),
    )


def render_similar(similar: SimilarActions, profiles: Profiles) -> Iterator[WatchActionsResponse]:
    """
    Yield a response for each of these actions, with this one alone.

    It is the same message each time, so serialise it before the next: a message that is made new
    for each costs five times as much, and one of which only what differs is set, half as much again.
    """
    response = WatchActionsResponse()
    enriched = response.enriched_actions.add(meets_filter=True)
    enriched.action.CopyFrom(render_action(similar.example, profiles))
    key, metadata, status = enriched.action.id, enriched.action.metadata, enriched.action.status
    is_recovered = metadata.HasField("recovered_from")
    status.Clear()
    before: tuple[Phase | None, int, CacheStatus | None] = (None, 0, None)
    for name, phase, attempts, cache_status, created, started, ended in zip(
        similar.names,
        similar.phases,
        similar.attempts,
        similar.cache_statuses,
        similar.created,
        similar.started,
        similar.ended,
        strict=True,
    ):
        key.name = name
        if is_recovered:
            metadata.recovered_from.name = name
        if before != (phase, attempts, cache_status):
            before = (phase, attempts, cache_status)
            status.phase = phase.value
            status.attempts = max(attempts, 1)
            status.cache_status = cache_status.value
        _set_times(status, created, started, ended)
        yield response


def render_action_details(detail: ActionDetail, profiles: Profiles = NO_PROFILES) -> ActionDetails:
    row = detail.row
    details = ActionDetails(
        id=keys.render_action(row.org, row.key),
        metadata=_render_metadata(row, profiles),
        status=_render_status(row),
        attempts=_render_attempts(detail),
    )
    if row.phase is Phase.ABORTED:
        details.abort_info.CopyFrom(
            AbortInfo(reason=row.abort_reason, aborted_by=render_identity(row.aborted_by, profiles))
        )
    elif row.failure is not None:
        details.error_info.CopyFrom(_render_failure(row.failure))
    elif row.value:
        details.signal_info.CopyFrom(
            SignalInfo(
                signalled_by=render_identity(row.signalled_by, profiles),
                output=Literal.FromString(row.value),
            )
        )
    match row.type:
        case ActionType.TASK:
            details.task.CopyFrom(TaskSpec.FromString(detail.spec))
            set_later_text(details.metadata.task, _QUEUE, detail.queue)
        case ActionType.TRACE:
            details.trace.CopyFrom(TraceSpec.FromString(detail.spec))
        case ActionType.CONDITION:
            details.condition.CopyFrom(ConditionAction.FromString(detail.spec))
        case ActionType.UNKNOWN:
            pass  # the metadata and status above are all there is to show
    return details


def render_update(row: ActionRow) -> ActionUpdate:
    """
    Render the update of a child action that its parent receives.

    A task's outputs URI is the prefix under which the outputs will lie, set before any exist; a
    trace's is the file itself.
    """
    update = ActionUpdate(
        action_id=keys.render_action(row.org, row.key),
        phase=row.phase.value,
        output_uri=row.output_uri or row.output_prefix,
    )
    if row.failure is not None and row.phase in {Phase.FAILED, Phase.TIMED_OUT}:
        update.error.CopyFrom(_render_execution_error(row.failure))
    if row.value:
        update.value.ParseFromString(row.value)
    return update


def render_cluster_events(events: Iterable[ClusterEvent]) -> Sequence[ClusterEventMessage]:
    return [
        ClusterEventMessage(
            occurred_at=event.at,
            reason=event.reason,
            message=event.message,
            type=event.type.value,
            count=event.count,
            source_component=event.source,
        )
        for event in events
    ]


def render_log_context(attempt: AttemptDetail) -> LogContext:
    """
    Name the source of the attempt's log lines, which are of one container.

    Only the agent knows the names of the pod and its containers; in the process runtime they are a process.
    """
    name = attempt.pod_name
    process = ContainerContext.ProcessContext(container_start_time=attempt.started_at)
    if attempt.ended_at is not None:
        process.container_end_time.FromDatetime(attempt.ended_at)
    container = ContainerContext(container_name=_CONTAINER, process=process)
    pod = PodLogContext(pod_name=name, containers=[container], primary_container_name=_CONTAINER)
    return LogContext(pods=[pod], primary_pod_name=name)


def _render_metadata(row: ActionRow, profiles: Profiles) -> ActionMetadata:
    metadata = ActionMetadata(
        parent=row.parent or "",
        group=row.group,
        executed_by=render_identity(row.created_by, profiles),
        action_type=row.type.value,
        environment_name=row.info.environment,
        funtion_name=row.info.function,
        source=row.source.value,
    )
    if row.relation is not None:
        metadata.relation.CopyFrom(_render_relation(row, row.relation))
    if row.recovered_from is not None:
        executed = RunKey(row.key.run.project, row.key.run.domain, row.recovered_from)
        metadata.recovered_from.CopyFrom(
            keys.render_action(row.org, ActionKey(executed, row.key.name))
        )
    if row.trigger is not None:
        _render_trigger(metadata, row, row.trigger)
    match row.type:
        case ActionType.TASK:
            metadata.task.CopyFrom(
                TaskActionMetadata(
                    id=keys.render_task_of(row.info),
                    task_type=row.info.task_type,
                    short_name=row.info.short_name,
                )
            )
        case ActionType.TRACE:
            metadata.trace.CopyFrom(TraceActionMetadata(name=row.info.short_name))
        case ActionType.CONDITION:
            metadata.condition.CopyFrom(
                ConditionActionMetadata(
                    name=row.info.short_name, type=LiteralType.FromString(row.condition_type)
                )
            )
        case ActionType.UNKNOWN:
            pass
    return metadata


def _render_relation(row: ActionRow, relation: Relation) -> RelationMessage:
    related = RunKey(row.key.run.project, row.key.run.domain, relation.run)
    return RelationMessage(
        related_to=keys.render_run(row.org, related), relation_type=relation.type.value
    )


def _render_trigger(metadata: ActionMetadata, row: ActionRow, trigger: RunTrigger) -> None:
    run = row.key.run
    key = TriggerKey(run.project, run.domain, trigger.task_name, trigger.name)
    metadata.trigger_name = trigger.name
    metadata.trigger_id.name.CopyFrom(keys.render_trigger(row.org, key))
    metadata.trigger_id.revision = trigger.revision
    metadata.trigger_type.ParseFromString(trigger.automation)


def _render_status(row: ActionRow) -> ActionStatus:
    status = ActionStatus(
        phase=row.phase.value,
        attempts=max(row.attempts, 1),
        cache_status=row.cache_status.value,
    )
    _set_times(
        status,
        created=to_microseconds(row.created_at),
        started=None if row.started_at is None else to_microseconds(row.started_at),
        ended=None if row.ended_at is None else to_microseconds(row.ended_at),
    )
    return status


def _set_times(status: ActionStatus, created: int, started: int | None, ended: int | None) -> None:
    """Set the times of a status, in place of those that it has, from microseconds since 1970."""
    # A trace is enqueued after it began, so its own start time counts.
    began = created if started is None or created < started else started
    set_microseconds(status.start_time, began)
    if ended is None:
        status.ClearField("end_time")
        status.ClearField("duration_ms")
    else:
        set_microseconds(status.end_time, ended)
        status.duration_ms = max(0, round((ended - began) / 1000))


def _render_attempts(detail: ActionDetail) -> Sequence[ActionAttempt]:
    """Render the attempts; an action with cached outputs has one that no cluster ran."""
    row = detail.row
    if row.cached_from is not None:
        return [_render_cached(row, row.cached_from)]
    rendered = []
    for attempt in detail.attempts:
        message = _render_attempt(attempt)
        if row.phase is Phase.ABORTED and _is_left_live(row, attempt):
            message.phase = Phase.ABORTED.value
            message.end_time.FromDatetime(row.ended_at or row.updated_at)
        is_last = attempt is detail.attempts[-1]
        message.cache_status = status_of_attempt(row.cache_status, is_last=is_last).value
        rendered.append(message)
    return rendered


def _is_left_live(row: ActionRow, attempt: AttemptDetail) -> bool:
    """Return whether no report is taken that would end an attempt: of an aborted tracked run."""
    return row.source is RunSource.TRACKED and attempt.phase not in TERMINAL


def _render_cached(row: ActionRow, source: CacheSource) -> ActionAttempt:
    outputs = layout.outputs_uri(row.output_uri) if row.output_uri else ""
    rendered = ActionAttempt(
        attempt=1,
        phase=row.phase.value,
        start_time=row.started_at or row.created_at,
        outputs=OutputReferences(output_uri=outputs),
        cache_status=row.cache_status.value,
    )
    if row.ended_at is not None:
        rendered.end_time.FromDatetime(row.ended_at)
    if source.action.run.name:
        found = rendered.cache_metadata.source_action_attempt
        found.action_id.CopyFrom(keys.render_action(row.org, source.action))
        found.attempt = source.attempt
    return rendered


def _render_attempt(attempt: AttemptDetail) -> ActionAttempt:
    rendered = ActionAttempt(
        attempt=attempt.number,
        phase=attempt.phase.value,
        start_time=attempt.started_at,
        cluster=attempt.cluster,
        logs_available=attempt.logs_available,
        cluster_events=render_cluster_events(attempt.events),
        log_info=[TaskLog(name=link.name, uri=link.uri, ready=True) for link in attempt.log_links],
        phase_transitions=[_render_transition(change) for change in attempt.transitions],
        outputs=OutputReferences(
            output_uri=layout.outputs_uri(attempt.output_uri) if attempt.output_uri else "",
            report_uri=attempt.report_uri,
        ),
    )
    if attempt.ended_at is not None:
        rendered.end_time.FromDatetime(attempt.ended_at)
    if attempt.failure is not None:
        rendered.error_info.CopyFrom(_render_failure(attempt.failure))
    if attempt.logs_available:
        rendered.log_context.CopyFrom(render_log_context(attempt))
    return rendered


def _render_transition(change: PhaseChange) -> PhaseTransition:
    return PhaseTransition(
        phase=change.phase.value, start_time=change.started_at, end_time=change.ended_at
    )


def _render_failure(failure: Failure) -> ErrorInfo:
    return ErrorInfo(code=failure.code, kind=_ERROR_KINDS[failure.kind], message=failure.message)


def _render_execution_error(failure: Failure) -> ExecutionError:
    return ExecutionError(
        code=failure.code,
        kind=_EXECUTION_ERROR_KINDS[failure.kind],
        message=failure.message,
        error_uri=failure.full_uri,
        recoverability=(
            ContainerError.RECOVERABLE if failure.recoverable else ContainerError.NON_RECOVERABLE
        ),
    )
