"""ExplanationService: why actions wait or run."""

from collections.abc import AsyncIterator
from typing import Protocol

from controlplane.api.platform.conventions import (
    ListCall,
    RunRequest,
    parse_run_key,
    parse_time,
    render_time,
)
from controlplane.api.platform.run_analysis import (
    render_activity,
    render_attempt,
    render_failures,
    render_path,
    render_refused,
)
from controlplane.api.streams import closing
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.explanations import Explained
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.run_analysis import RunAnalysis
from shared.idl.platform.v1 import explanation_pb2 as pb
from shared.model.ids import ActionKey


class ExplanationService:
    def __init__(self, explanations: Explanations, analysis: RunAnalysis) -> None:
        self._explanations = explanations
        self._analysis = analysis

    async def explain_action(
        self, caller: Caller, request: pb.ExplainActionRequest
    ) -> pb.ExplainActionResponse:
        explained = await self._explanations.action(caller, _parse_action(request))
        return pb.ExplainActionResponse(explanation=_render(explained))

    async def watch_explanation(
        self, caller: Caller, request: pb.WatchExplanationRequest
    ) -> AsyncIterator[pb.WatchExplanationResponse]:
        watched = self._explanations.watch(caller, _parse_action(request))
        async with closing(watched) as explanations:
            async for explained in explanations:
                yield pb.WatchExplanationResponse(explanation=_render(explained))

    async def list_pending_actions(
        self, caller: Caller, request: pb.ListPendingActionsRequest
    ) -> pb.ListPendingActionsResponse:
        call = ListCall(caller, request)
        found, after = await self._explanations.list_pending(
            caller, parse_run_key(request), limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListPendingActionsResponse(
            actions=[
                pb.PendingAction(
                    action=each.action.name,
                    phase=each.phase,
                    attempt=each.attempt,
                    cluster=each.cluster or "",
                    reason=each.why.reason.value,
                    message=each.why.message,
                )
                for each in found
            ],
            next_page_token=call.next_token(after),
        )

    async def list_attempts(
        self, caller: Caller, request: pb.ListAttemptsRequest
    ) -> pb.ListAttemptsResponse:
        call = ListCall(caller, request)
        found, after = await self._analysis.list_attempts(
            caller,
            _parse_action(request),
            after=_parse_number(call.listing.token),
            limit=call.listing.limit,
        )
        return pb.ListAttemptsResponse(
            attempts=map(render_attempt, found),
            next_page_token=call.next_token("" if after is None else str(after)),
        )

    async def list_failures(
        self, caller: Caller, request: pb.ListFailuresRequest
    ) -> pb.ListFailuresResponse:
        call = ListCall(caller, request)
        found, after = await self._analysis.list_failures(
            caller, parse_run_key(request), token=call.listing.token, limit=call.listing.limit
        )
        return pb.ListFailuresResponse(
            failures=map(render_failures, found), next_page_token=call.next_token(after)
        )

    async def get_critical_path(
        self, caller: Caller, request: pb.GetCriticalPathRequest
    ) -> pb.GetCriticalPathResponse:
        return render_path(await self._analysis.critical_path(caller, parse_run_key(request)))

    async def get_activity(
        self, caller: Caller, request: pb.GetActivityRequest
    ) -> pb.GetActivityResponse:
        activity = await self._analysis.activity(
            caller,
            parse_run_key(request),
            since=parse_time(request.since, "since") if request.HasField("since") else None,
            until=parse_time(request.until, "until") if request.HasField("until") else None,
            buckets=request.buckets,
        )
        return render_activity(activity)


class _ActionRequest(RunRequest, Protocol):
    action: str


def _parse_action(request: _ActionRequest) -> ActionKey:
    return ActionKey(parse_run_key(request), names.parse_action(request.action))


def _parse_number(token: str) -> int:
    """Parse the number of the last attempt of a page; 0 before the first."""
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        raise InvalidError("page_token: is not of this list; start at the first page")
    return int(token or 0)


def _render(explained: Explained) -> pb.ActionExplanation:
    action = explained.action
    return pb.ActionExplanation(
        project=action.run.project,
        domain=action.run.domain,
        run=action.run.name,
        action=action.name,
        phase=explained.phase.name.lower(),
        attempt=explained.attempt,
        reason=explained.now.reason.value,
        message=explained.now.message,
        as_of=render_time(explained.as_of),
        timeline=[
            pb.ExplanationInterval(
                reason=each.reason.value,
                message=each.message,
                started_at=render_time(each.started_at),
                ended_at=render_time(each.ended_at),
            )
            for each in explained.timeline
        ],
        refused_reports=[render_refused(each) for each in explained.refused],
    )
