"""The data proxy with its real dependencies, on a real Postgres and a real store."""

from dataclasses import dataclass, replace

import httpx
from flyteidl2.common.identifier_pb2 import (
    ActionAttemptIdentifier,
    ActionIdentifier,
    ProjectIdentifier,
    RunIdentifier,
)
from flyteidl2.core.literals_pb2 import Literal, Primitive, Scalar
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral, Outputs

from controlplane.api.dataproxy import DataProxyService
from controlplane.core.actions import ActionType, NewAction, TraceInfo
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.runs import NewRun
from controlplane.store.database import Database
from shared.blobs.store import BlobStore
from shared.model.assignments import Assignment
from shared.model.ids import OrgName, RunId
from shared.model.phases import Phase
from tests.factories import ORG, make_new_action, make_new_run, make_report
from tests.integration.store.conftest import Store

CALLER = Caller(subject=Subject("ada"), org=ORG, name="Ada", grants=org_wide(EVERYTHING))
STRANGER = replace(CALLER, org=OrgName("rival"))
PROJECT = ProjectIdentifier(organization=ORG, name="p", domain="development")


def make_inputs(**values: int) -> Inputs:
    return Inputs(literals=_literals(values))


def make_outputs(**values: int) -> Outputs:
    return Outputs(literals=_literals(values))


def make_literal(value: int) -> Literal:
    return Literal(scalar=Scalar(primitive=Primitive(integer=value)))


def _literals(values: dict[str, int]) -> list[NamedLiteral]:
    return [NamedLiteral(name=name, value=make_literal(value)) for name, value in values.items()]


def action_id(name: str = "a0", *, run: str = "r1") -> ActionIdentifier:
    return ActionIdentifier(
        run=RunIdentifier(org=ORG, project="p", domain="development", name=run), name=name
    )


def attempt_id(attempt: int = 1, name: str = "a0") -> ActionAttemptIdentifier:
    return ActionAttemptIdentifier(action_id=action_id(name), attempt=attempt)


@dataclass(frozen=True, slots=True)
class World:
    blobs: BlobStore
    proxy: DataProxyService
    http: httpx.AsyncClient
    database: Database

    @property
    def own(self) -> str:
        """Return the URI prefix to which the caller's org may write."""
        return f"{self.blobs.base}/{ORG}"

    async def create_run(self, *, input_uri: str = "", body: bytes = b"") -> RunId:
        new = make_new_run(body=body or b"a task")
        return await self._store.create(self._here(new, input_uri))

    async def run(self, *, input_uri: str = "", body: bytes = b"") -> Assignment:
        """Create a run and have its root action running."""
        await self.create_run(input_uri=input_uri, body=body)
        [assignment] = await self._store.claim()
        await self._store.report(make_report(assignment, 1, Phase.RUNNING))
        return assignment

    async def end(self, assignment: Assignment, phase: Phase) -> None:
        await self._store.report(make_report(assignment, 2, phase))

    async def enqueue(
        self, name: str, kind: ActionType, *, trace: TraceInfo | None = None
    ) -> NewAction:
        new = replace(
            make_new_action(name, kind=kind),
            input_uri=f"{self.own}/p/development/r1/{name}/inputs.pb",
            trace=trace,
        )
        await self._store.enqueue(new)
        return new

    def _here(self, new: NewRun, input_uri: str) -> NewRun:
        run_base = f"{self.own}/p/development/{new.key.run.name}"
        return replace(new, run_base=run_base, input_uri=input_uri)

    @property
    def _store(self) -> Store:
        return Store(self.database, url="")
