"""Tasks that call the API with the tokens of their attempts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from connectrpc.code import Code
from flyteidl2.workflow import run_service_pb2 as run_pb

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.anonymous import Anonymous
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.core.callers import Caller
from controlplane.store.database import open_database
from controlplane.store.dispatch import dispatches
from controlplane.store.resources.clusters import ClusterRef
from controlplane.usecases.identity.callers import Callers
from controlplane.usecases.running_attempts import (
    AttemptTokens,
    RunningAttempts,
)
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName
from tests.fakes.clock import FakeClock
from tests.integration.api.client import CLUSTER, ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.flyte_requests import create_project
from tests.integration.api.requests import (
    create_run,
    deploy,
    enqueue_condition,
    run_id,
)
from tests.integration.api.test_scopes import OTHER, outcome


class TaskOrAnyone:
    """Takes calls without a credential for those of the test, and others by their token."""

    def __init__(self, bearer: BearerTokens) -> None:
        self._bearer = bearer
        self._anonymous = Anonymous(ORG)

    async def authenticate(self, headers: Mapping[str, str], peer: str | None) -> Caller:
        if "authorization" in headers:
            return await self._bearer.authenticate(headers, peer)
        return await self._anonymous.authenticate(headers, peer)


@dataclass(frozen=True, slots=True)
class Tasks:
    """An API that tasks call with tokens, on a clock that tests move."""

    api: ApiUnderTest
    clock: FakeClock
    people: BearerTokens  # which takes no tokens of tasks
    exchange: AttemptTokens
    running: RunningAttempts

    async def start(self, *, accept: bool = True) -> Mapping[str, Assignment]:
        """Lease what waits to the cluster, which accepts it; return the assignments by run."""
        found = await self.api.claim()
        if accept:
            async with self.api.database.for_org(ORG) as tx:
                await dispatches.accept(
                    tx, CLUSTER, [(each.attempt, each.lease) for each in found], self.clock.now()
                )
        return {f"{each.key.run.project}/{each.key.run.name}": each for each in found}

    async def token(
        self, assignment: Assignment, cluster: ClusterName = CLUSTER
    ) -> SecretText | None:
        exchanged = await self.exchange.exchange(
            ClusterRef(ORG, cluster), [(assignment.attempt, assignment.lease)]
        )
        assert exchanged is not None
        return exchanged[0].token

    async def headers(self, assignment: Assignment) -> Mapping[str, str]:
        token = await self.token(assignment)
        assert token is not None
        return {"authorization": f"Bearer {token.reveal()}"}

    async def is_alive(self, headers: Mapping[str, str], run: str = "r1") -> bool:
        """Return whether a token is accepted for a call about a run."""
        request = run_pb.GetRunDetailsRequest(run_id=run_id(run))
        code, _ = await outcome(self.api, "RunService/GetRunDetails", request, headers)
        assert code in {None, Code.UNAUTHENTICATED}
        return code is None


@asynccontextmanager
async def open_tasks(database_url: str, blobs: Path) -> AsyncIterator[Tasks]:
    """Open an API with two runs in each of two projects, whose tasks are not leased yet."""
    clock = FakeClock(SystemClock().now())
    database = open_database(database_url, pool_size=4)
    keys = TokenKeySet([make_key(clock.now())])
    tokens = AccessTokens(keys, clock, issuer="https://volary.example")
    revocations = Revocations(clock)
    revocations.add([], clock.now())
    running = RunningAttempts(database, clock)
    people = BearerTokens(tokens, revocations, CallerCache(Callers(database), clock))
    bearer = people.with_attempts(running.find)
    async with open_api(database_url, blobs, authn=TaskOrAnyone(bearer), lineage=running) as api:
        running.listen(api.api.streams.end_revoked)
        await api.projects.create_project(create_project(OTHER))
        for project in (PROJECT, OTHER):
            for name in ("r1", "waiting"):
                request = create_run(name)
                request.run_id.project = project
                await api.runs.create_run(request)
            task = deploy()
            task.task_id.project = project
            await api.tasks.deploy_task(task)
        await api.actions.enqueue(enqueue_condition("cond"))
        yield Tasks(api, clock, people, AttemptTokens(database, tokens), running)
    await database.close()
