"""
Refuses children that ask for more than the settings of their run allow, when they are enqueued.

The maxima are in the RunSpec that was stored when the run was created, which never changes: a replica reads each
once, and only for a task that names amounts.
"""

from collections.abc import Mapping

from flyteidl2.core.tasks_pb2 import TaskTemplate
from flyteidl2.task.run_pb2 import RunSpec

from controlplane.api.convert.applied_settings import (
    asks_for_resources,
    read_maxima,
    require_within_run,
)
from controlplane.core.callers import Caller
from controlplane.usecases.runs import Runs
from shared.kit.cache import LruCache
from shared.model.ids import OrgName, RunKey

_MOST_RUNS = 10_000


class RunMaxima:
    """The most that tasks of a run may ask for; shared by the services that enqueue."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: LruCache[tuple[OrgName, RunKey], Mapping[str, str]] = LruCache(_MOST_RUNS)

    async def require_within(self, caller: Caller, run: RunKey, template: TaskTemplate) -> None:
        """Raise InvalidError, naming the key, for a task that asks for more; NotFoundError."""
        if not asks_for_resources(template):
            return
        maxima = self._known.get((caller.org, run))
        if maxima is None:
            maxima = read_maxima(RunSpec.FromString(await self._runs.read_spec(caller, run)))
            self._known[caller.org, run] = maxima
        require_within_run(template, maxima)
