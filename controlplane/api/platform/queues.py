"""QueueService: queues, with their pool, priority and limits."""

from controlplane.api.platform.conventions import (
    ListCall,
    parse_mask,
    parse_time,
    parse_version,
    render_duration,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.queues import QueueChange, QueueStatus
from controlplane.usecases.queue_history import QueueHistoryReader
from controlplane.usecases.queue_shares import ExplainedShare, QueueShareReader
from controlplane.usecases.queues import Queues
from shared.idl.platform.v1 import queue_pb2 as pb

DEFAULT_SHARES = 50

_SETTINGS = ("pool", "priority", "depth", "run_concurrency", "action_concurrency")


class QueueService:
    def __init__(
        self, queues: Queues, shares: QueueShareReader, history: QueueHistoryReader
    ) -> None:
        self._queues = queues
        self._shares = shares
        self._history = history

    async def get_queue(self, caller: Caller, request: pb.GetQueueRequest) -> pb.GetQueueResponse:
        return pb.GetQueueResponse(queue=_render(await self._queues.get(caller, request.name)))

    async def list_queues(
        self, caller: Caller, request: pb.ListQueuesRequest
    ) -> pb.ListQueuesResponse:
        call = ListCall(caller, request)
        found, after = await self._queues.list(
            caller, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListQueuesResponse(
            queues=map(_render, found), next_page_token=call.next_token(after)
        )

    async def get_queue_shares(
        self, caller: Caller, request: pb.GetQueueSharesRequest
    ) -> pb.GetQueueSharesResponse:
        found = await self._shares.list(
            caller, request.queue, limit=request.limit or DEFAULT_SHARES
        )
        return pb.GetQueueSharesResponse(
            shares=map(_render_share, found.runs), complete=found.is_complete
        )

    async def get_queue_history(
        self, caller: Caller, request: pb.GetQueueHistoryRequest
    ) -> pb.GetQueueHistoryResponse:
        found = await self._history.read(
            caller,
            request.queue,
            since=parse_time(request.since, "since") if request.HasField("since") else None,
            until=parse_time(request.until, "until") if request.HasField("until") else None,
            buckets=request.buckets,
        )
        return pb.GetQueueHistoryResponse(
            since=render_time(found.since),
            until=render_time(found.until),
            buckets=[
                pb.QueueBucket(
                    began_at=render_time(each.began_at),
                    waiting=each.waiting,
                    assigned=each.assigned,
                    waited=render_duration(each.waited),
                )
                for each in found.buckets
            ],
        )

    async def create_queue(
        self, caller: Caller, request: pb.CreateQueueRequest
    ) -> pb.CreateQueueResponse:
        change = _parse_change(request.queue, frozenset(_SETTINGS))
        made = await self._queues.create(caller, request.queue.name, change)
        return pb.CreateQueueResponse(queue=_render(made))

    async def update_queue(
        self, caller: Caller, request: pb.UpdateQueueRequest
    ) -> pb.UpdateQueueResponse:
        mask = parse_mask(request.update_mask, _SETTINGS)
        changed = await self._queues.update(
            caller,
            request.queue.name,
            _parse_change(request.queue, mask),
            version=parse_version(request.queue.version),
            allow_missing=request.allow_missing,
        )
        return pb.UpdateQueueResponse(queue=_render(changed))

    async def delete_queue(
        self, caller: Caller, request: pb.DeleteQueueRequest
    ) -> pb.DeleteQueueResponse:
        move_to = request.move_to if request.HasField("move_to") else None
        await self._queues.delete(caller, request.name, move_to=move_to)
        return pb.DeleteQueueResponse()


def _parse_change(queue: pb.Queue, mask: frozenset[str]) -> QueueChange:
    """Return a change of the settings in ``mask``; the use case checks them."""
    return QueueChange(
        pool=queue.pool if "pool" in mask else None,
        priority=queue.priority if "priority" in mask else None,
        depth=queue.depth if "depth" in mask else None,
        run_concurrency=queue.run_concurrency if "run_concurrency" in mask else None,
        action_concurrency=queue.action_concurrency if "action_concurrency" in mask else None,
    )


def _render(status: QueueStatus) -> pb.Queue:
    queue = status.queue
    return pb.Queue(
        name=queue.name,
        pool=queue.pool,
        priority=queue.priority,
        depth=queue.depth,
        run_concurrency=queue.run_concurrency,
        action_concurrency=queue.action_concurrency,
        version=queue.version,
        load=pb.QueueLoad(
            waiting=status.waiting,
            actions=status.leased,
            runs=status.runs,
            clusters=status.clusters,
        ),
    )


def _render_share(explained: ExplainedShare) -> pb.QueueShare:
    share, why = explained.share, explained.why
    run = share.oldest.run
    return pb.QueueShare(
        project=run.project,
        domain=run.domain,
        run=run.name,
        waiting=share.waiting,
        assigned=share.leased,
        oldest_action="" if share.oldest_id is None else share.oldest.name,
        waiting_since=render_time(share.waiting_since),
        reason="" if why is None else why.reason.value,
        message="" if why is None else why.message,
    )
