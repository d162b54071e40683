"""
Find which runs a run has started: a task may follow and read the runs that it starts.

No state is kept about it, so that any replica of the proxy can answer: the run itself names its
parent, because the SDK sets that when a task starts a run.
"""

from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.common.run_pb2 import RELATION_TYPE_SPAWN
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, GetRunDetailsResponse

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.upstream import Upstream
from shared.kit.cache import ExpiringCache
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName, RunKey, RunName

_RPC = "flyteidl2.workflow.RunService/GetRunDetails"


class RunLineage:
    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        # By the run that asks, too: with logins the control plane answers about its own runs only.
        self._parents: ExpiringCache[tuple[str, RunKey, RunKey], RunKey | None] = ExpiringCache(
            proxy_limits.LINEAGE_CACHE_SIZE, clock
        )

    async def descends(self, run: RunKey, caller: Caller) -> bool:
        """Return whether ``run`` was started by the caller's, directly or through other runs."""
        for _ in range(proxy_limits.GENERATIONS):
            parent = await self._parent(run, caller)
            if parent is None:
                return False
            if parent == caller.run:
                return True
            run = parent
        return False

    async def _parent(self, run: RunKey, caller: Caller) -> RunKey | None:
        key = caller.org, caller.run, run
        try:
            return self._parents[key]
        except KeyError:
            parent = await self._ask(run, caller)
        lasts = proxy_limits.STRANGERS_LAST if parent is None else proxy_limits.LINEAGE_TTL
        self._parents.put(key, parent, until=self._clock.now() + lasts)
        return parent

    async def _ask(self, run: RunKey, caller: Caller) -> RunKey | None:
        named = RunIdentifier(org=caller.org, project=run.project, domain=run.domain, name=run.name)
        answer = await self._upstream.ask(
            _RPC, GetRunDetailsRequest(run_id=named), GetRunDetailsResponse, caller
        )
        if answer is None:
            return None
        relation = answer.details.run_spec.relation
        if relation.relation_type != RELATION_TYPE_SPAWN:
            return None
        parent = relation.related_to
        return RunKey(ProjectName(parent.project), DomainName(parent.domain), RunName(parent.name))
