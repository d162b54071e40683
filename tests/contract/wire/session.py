"""
The recorded scenario: a session of a control plane, an agent and its users.

A run succeeds; another is followed, outlives a broken stream, is aborted, and ends.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.core.actions import Spec, SpecKind
from controlplane.core.errors import NotFoundError
from shared.idl.agent.v1 import link_pb2
from shared.model.ids import ActionName, AttemptId, Digest, RunId
from shared.model.phases import TERMINAL, Phase
from tests.contract.wire.recordings import PLACE, Frame, kind_of
from tests.factories import ORG, make_new_run
from tests.integration.agent.world import RUN_SPEC, ActionRequest, make_inputs, make_task_spec
from tests.integration.link.conftest import LinkUnderTest
from tests.integration.store.conftest import CLUSTER

SLEEPS = {"r1": timedelta(seconds=0.1), "r2": timedelta(minutes=10)}
"""The runs of the story, and how long the one task of each sleeps."""
TIMEOUT_SECONDS = 60.0

Fact = tuple[object, ...]


def place_of(directory: Path) -> Path:
    """Return a place below ``directory`` whose name is as long as that of recordings."""
    return directory / ("-" * (len(PLACE) - len(str(directory)) - 1))


def lay_out(place: Path) -> None:
    """Write the blobs that the scenario's tasks read."""
    for run, duration in SLEEPS.items():
        inputs = place / run / "a0" / "inputs.pb"
        inputs.parent.mkdir(parents=True)
        inputs.write_bytes(make_inputs({"duration": duration}).SerializeToString())


def facts_of(frame: Frame) -> set[Fact]:
    """
    Say what a frame tells that the story needs to go on.

    How items are batched, and what is said by the clock, is no part of the story.
    """
    kind = kind_of(frame)
    match frame:
        case link_pb2.AgentFrame():
            return set(_agents_facts(kind, frame))
        case _:
            return set(_control_planes_facts(kind, frame))


def _agents_facts(kind: str, frame: link_pb2.AgentFrame) -> Iterator[Fact]:
    match kind:
        case "hello":
            yield (kind,)
        case "inventory":
            yield (kind, *(lease.lease_id for lease in frame.inventory.leases))
        case "accepted":
            yield from ((kind, lease.lease_id) for lease in frame.accepted.leases)
        case "reports":
            yield from ((kind, each.lease_id, each.phase) for each in frame.reports.reports)
        case "reply":
            yield (kind, frame.reply.WhichOneof("answer"))
        case _:
            pass  # told by the clock, or as room is


def _control_planes_facts(kind: str, frame: link_pb2.ControlFrame) -> Iterator[Fact]:
    match kind:
        case "welcome" | "call":
            yield (kind,)
        case "verdicts":
            yield from ((kind, each.lease.lease_id, each.kind) for each in frame.verdicts.verdicts)
            yield (kind, frame.verdicts.last)
        case "assignments":
            yield from ((kind, each.run) for each in frame.assignments.assignments)
        case "confirmed":
            yield from ((kind, lease.lease_id) for lease in frame.confirmed.leases)
        case "acknowledgements":
            for each in frame.acknowledgements.acknowledgements:
                yield (kind, each.attempt.action_id, each.version, each.verdict)
        case "stops":
            yield from ((kind, each.lease.lease_id, each.forget) for each in frame.stops.stops)
        case _:
            pass  # told by the clock, or as it is wanted


@dataclass(slots=True)
class People:
    """Users who start, follow and abort runs; each step is addressed by name."""

    link: LinkUnderTest
    place: str
    runs: dict[str, RunId] = field(default_factory=dict)
    followed: int = 0  # logs

    async def act(self, what: str) -> None:
        verb, run = what.split()
        match verb:
            case "begin":
                await self._begin(run)
            case "follow":
                await self._follow(run)
            case "abort":
                await self.link.store.abort(self.runs[run])
            case _:
                raise AssertionError(f"nobody knows how to {verb}")

    async def _begin(self, run: str) -> None:
        request = ActionRequest(
            task="nap", type="core-sleep", inputs={"duration": SLEEPS[run]}, args=()
        )
        new = make_new_run(run)
        self.runs[run] = await self.link.store.create(
            replace(
                new,
                spec=_spec(make_task_spec(request, "").SerializeToString(), SpecKind.TASK),
                run_spec=_spec(RUN_SPEC.SerializeToString(), SpecKind.RUN),
                info=replace(new.info, task_type=request.type),
                input_uri=f"file://{self.place}/{run}/a0/inputs.pb",
                run_base=f"file://{self.place}/{run}",
            )
        )

    async def _follow(self, run: str) -> None:
        root = (await self.link.store.detail(self.runs[run])).row.id
        lines = self.link.logs.follow_logs(ORG, CLUSTER, AttemptId(root, 1), 0)
        async with aclosing(lines):
            with pytest.raises(NotFoundError):  # the agent's own word: who sleeps writes none
                await anext(lines)
        self.followed += 1

    async def phase(self, run: str) -> Phase:
        return await self.link.store.phase(self.runs[run], ActionName("a0"))

    async def until_phase(self, run: str, phase: Phase) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (found := await self.phase(run)) is not phase:
                assert found not in TERMINAL, f"{run} ended {found.name}"


def _spec(body: bytes, kind: SpecKind) -> Spec:
    return Spec(digest=Digest(hashlib.sha256(body).digest()), kind=kind, body=body)
