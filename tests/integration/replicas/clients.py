"""Clients of replicas: they watch, follow and keep trying, as the SDK does."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import TailLogsRequest
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, WatchActionsRequest

from tests.integration.replicas.world import Replica, World, nap

Seen = tuple[str, "ActionPhase.ValueType"]

SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED
_GONE = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNKNOWN, Code.INTERNAL}
_TRY_EVERY = 0.1


@asynccontextmanager
async def running_parent(world: World, replica: Replica) -> AsyncIterator[ActionIdentifier]:
    """Have a task running for the length of a block, for which others are enqueued."""
    root = await world.start(replica, nap(600))
    await replica.api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
    yield root
    await replica.api.runs.abort_run(AbortRunRequest(run_id=root.run))


async def watch(replica: Replica, root: ActionIdentifier) -> AsyncIterator[Seen]:
    """Yield each action of a run with its phase, as a watcher at ``replica`` is told."""
    async for answer in replica.api.runs.watch_actions(
        WatchActionsRequest(run_id=root.run), timeout_ms=60_000
    ):
        for enriched in answer.enriched_actions:
            yield enriched.action.id.name, enriched.action.status.phase


async def log(replica: Replica, action: ActionIdentifier) -> AsyncIterator[str]:
    async with asyncio.timeout(60):
        async for answer in replica.api.data.tail_logs(
            TailLogsRequest(action_id=action, attempt=1)
        ):
            for logs in answer.logs:
                yield "".join(line.message for line in logs.lines)


async def whole_log(replica: Replica, action: ActionIdentifier) -> str:
    return "".join([part async for part in log(replica, action)])


class Client:
    """One that goes round the replicas: who does not answer is left for the next."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self._replicas: Iterator[Replica] = cycle(replicas)
        self.refused = 0

    async def enqueue(self, request: EnqueueRequest) -> None:
        """Enqueue, however often it takes."""
        while True:
            try:
                await next(self._replicas).api.actions.enqueue(request, timeout_ms=5_000)
            except ConnectError as error:
                assert error.code in _GONE, error  # noqa: PT017 - what else may it be
                self.refused += 1
                await asyncio.sleep(_TRY_EVERY)
            else:
                return

    async def watch(self, root: ActionIdentifier) -> AsyncIterator[Seen]:
        """Watch a run, on another replica whenever one is gone."""
        while True:
            try:
                async for seen in watch(next(self._replicas), root):
                    yield seen
            except ConnectError as error:
                assert error.code in _GONE, error  # noqa: PT017 - what else may it be
                self.refused += 1
                await asyncio.sleep(_TRY_EVERY)
