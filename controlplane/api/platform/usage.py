"""UsageService: what attempts used, by month, day and other dimensions."""

from controlplane.api.platform.conventions import ListCall
from controlplane.core.callers import Caller
from controlplane.core.usage import UsageAmounts, UsageRow
from controlplane.usecases.usage import UsageReader
from shared.idl.platform.v1 import usage_pb2 as pb


class UsageService:
    def __init__(self, usage: UsageReader) -> None:
        self._usage = usage

    async def get_usage(self, caller: Caller, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
        found = await self._usage.summarise(
            caller,
            month=request.month,
            since=request.since,
            until=request.until,
            project=request.project,
            group_by=request.group_by,
            limit=request.limit,
        )
        return pb.GetUsageResponse(
            since=str(found.since),
            until=str(found.until),
            total=_render_amounts(found.total),
            rows=map(_render, found.rows),
            complete=found.is_complete,
        )

    async def list_usage(
        self, caller: Caller, request: pb.ListUsageRequest
    ) -> pb.ListUsageResponse:
        call = ListCall(caller, request)
        rows, after = await self._usage.list(
            caller,
            month=request.month,
            project=request.project,
            limit=call.listing.limit,
            after=call.listing.token,
        )
        return pb.ListUsageResponse(rows=map(_render, rows), next_page_token=call.next_token(after))


def _render(row: UsageRow) -> pb.UsageRow:
    return pb.UsageRow(
        day="" if row.day is None else str(row.day),
        project=row.project,
        domain=row.domain,
        task=row.task,
        cluster=row.cluster,
        queue=row.queue,
        amounts=_render_amounts(row.amounts),
    )


def _render_amounts(amounts: UsageAmounts) -> pb.UsageAmounts:
    return pb.UsageAmounts(
        attempts=amounts.attempts,
        action_seconds=amounts.run_ms / 1000,
        cpu_seconds=amounts.cpu_ms / 1000,
        memory_gib_seconds=amounts.memory_mib_ms / 1024 / 1000,
        accelerator_seconds=amounts.accelerator_ms / 1000,
    )
