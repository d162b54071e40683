"""ExplanationService: why actions wait or run."""

from controlplane.api.platform.conventions import ListCall, parse_run_key, render_time
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.explanations import Explained
from controlplane.usecases.explanations import Explanations
from shared.idl.platform.v1 import explanation_pb2 as pb
from shared.model.ids import ActionKey


class ExplanationService:
    def __init__(self, explanations: Explanations) -> None:
        self._explanations = explanations

    async def explain_action(
        self, caller: Caller, request: pb.ExplainActionRequest
    ) -> pb.ExplainActionResponse:
        action = ActionKey(parse_run_key(request), names.parse_action(request.action))
        explained = await self._explanations.action(caller, action)
        return pb.ExplainActionResponse(explanation=_render(explained))

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
    )
