"""RunLogsService: the older address of the logs that DataProxyService tails."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from flyteidl2.workflow.run_logs_service_pb2 import TailLogsRequest, TailLogsResponse

from controlplane.api.convert import keys
from controlplane.api.convert.logs import SILENT_FOR, render_log_lines
from controlplane.api.streams import Pause, with_pauses
from controlplane.core.callers import Caller
from controlplane.usecases.logs import Logs


class RunLogsService:
    """Its messages have neither the pods that may be selected nor the names of containers."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def tail_logs(
        self, caller: Caller, request: TailLogsRequest
    ) -> AsyncIterator[TailLogsResponse]:
        action = keys.parse_action(request.action_id)
        follow = self._logs.follow(caller, action, request.attempt)
        async with aclosing(with_pauses(follow, SILENT_FOR)) as batches:
            async for lines in batches:
                logs = [] if isinstance(lines, Pause) else [render_log_lines(lines)]
                yield TailLogsResponse(logs=[TailLogsResponse.Logs(lines=each) for each in logs])
