"""Tests of an agent killed at each write: sent reports stand, and the next agent resumes."""

import asyncio
from datetime import timedelta
from itertools import count

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import TASK_ACTION
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions import journal_limits
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.contract.ledger.promises import acknowledged, with_specs
from tests.kube.api.ledger.conftest import open_ledger
from tests.kube.api.ledger.dying import make_dying
from tests.unit.agent.assignments import NOW
from tests.unit.agent.test_session import WELCOME

ASSIGNMENT = with_specs(b"task", b"run")
ATTEMPT = ASSIGNMENT.attempt
SPECS = {ASSIGNMENT.task_spec: b"task", ASSIGNMENT.run_spec: b"run"}
PHASES = (Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED)
AT_ONCE = timedelta(0)
FEWEST = 6  # writes: the agent's id, two specs, its TaskAction, the reports together, its end


class World:
    """Reports received from the agent, across its restarts."""

    def __init__(self) -> None:
        self.is_accepted = False
        self.is_settled = False
        self.received: dict[int, Report] = {}

    async def live(self, ledger: Ledger) -> None:
        """Do the remaining steps, as an agent and its control plane do."""
        self.check(ledger)
        await ledger.begin_session()
        await ledger.remember_session(WELCOME, NOW)
        self.hear(ledger)
        if not self.is_settled:  # else the control plane does not assign it again
            await ledger.accept([ASSIGNMENT], SPECS, NOW)
        self.is_accepted = True
        for phase in PHASES:
            await ledger.record(ATTEMPT, [StatusUpdate(phase=phase)], NOW)
            self.hear(ledger)
        self.is_settled = True
        await ledger.acknowledge(acknowledged(ATTEMPT, max(self.received)))

    def hear(self, ledger: Ledger) -> None:
        for report in ledger.outbox.take():
            assert self.received.setdefault(report.version, report) == report

    def check(self, ledger: Ledger) -> None:
        """The ledger must have every report that was sent."""
        active = ledger.active.get(ATTEMPT)
        if self.is_settled and active is None:
            return
        if self.is_accepted:
            assert active is not None
        if self.received:
            assert active is not None
            assert active.version >= max(self.received)


@pytest.mark.parametrize("is_executed", [False, True], ids=["before", "after"])
async def test_agent_killed_at_each_write_is_resumed(
    kube: Kube,
    place: str,
    task_actions: None,
    monkeypatch: pytest.MonkeyPatch,
    is_executed: bool,  # noqa: FBT001
) -> None:
    del task_actions
    monkeypatch.setattr(journal_limits, "CLOSING", AT_ONCE)
    for at_write in count(1):
        world = World()
        dying, died = make_dying(kube, at_write, is_executed=is_executed)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            first = tasks.create_task(_live_in(world, dying, place))
            ended = tasks.create_task(died.wait())
            await asyncio.wait([first, ended], return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            ended.cancel()
        if not died.is_set():
            assert at_write > FEWEST
            return

        async with asyncio.timeout(60):
            await _live_in(world, kube, place)
            assert [report.phase for report in world.received.values()] == list(PHASES)
            assert list(world.received) == [1, 2, 3]
            while (await kube.list(TASK_ACTION, namespace=place)).items:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # ended attempts are deleted eventually


async def _live_in(world: World, kube: Kube, place: str) -> None:
    async with open_ledger(kube, place, retention=AT_ONCE) as ledger:
        await world.live(ledger)
        async with asyncio.timeout(60):
            while (await kube.list(TASK_ACTION, namespace=place)).items:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
