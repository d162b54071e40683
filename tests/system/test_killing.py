"""A run survives kills of the agent, the control plane and the stack; no attempt runs twice."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import WatchActionsRequest

from tests.running import until
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte
from tests.system.stack import Stack

CHILDREN = 3


@dataclass(frozen=True, slots=True)
class Journey:
    """A run under way: its first child is over, the others wait for a gate to be opened."""

    stack: Stack
    api: ApiClient
    root: ActionIdentifier
    place: Path

    def lines(self) -> list[str]:
        return (self.place / "journal").read_text().splitlines()

    def journal(self) -> Counter[str]:
        """Count who began and who ended, in whichever attempt."""
        return Counter(line.partition(",")[0] for line in self.lines())

    async def arrive(self) -> Counter[str]:
        """
        Open the gate, wait for the end, and return who began and ended how often.

        Whatever was tried again, no attempt began a second time.
        """
        (self.place / "gate").touch()
        assert await self.api.result(self.root) == [sum(range(CHILDREN))]
        assert len(set(self.lines())) == len(self.lines()), self.lines()
        return self.journal()

    async def story(self) -> str:
        """Say what was written, and how each attempt ended."""
        names = [self.root, *(child.id for child in await self.api.children(self.root))]
        messages = [
            str(attempt) for name in names for attempt in (await self.api.details(name)).attempts
        ]
        return "\n".join([*self.lines(), *messages])


ONCE = Counter(
    ["begin main", "end main"]
    + [f"{what} {number}" for what in ("begin", "end") for number in range(CHILDREN)]
)


@pytest.fixture
async def journey(own_stack: Stack, tmp_path: Path) -> Journey:
    flyte = Flyte(own_stack, tmp_path / "home")
    flyte("deploy", "gated.py", "env")
    api = ApiClient(own_stack.url)
    place = tmp_path / "place"
    place.mkdir()
    root = await api.start("gated.main", place=str(place), children=CHILDREN)
    journey = Journey(own_stack, api, root, place)
    await until(lambda: (place / "journal").exists() and journey.journal().total() == CHILDREN + 2)
    await one_has_succeeded(api, root)
    return journey


async def one_has_succeeded(api: ApiClient, root: ActionIdentifier) -> None:
    async for answer in api.runs.watch_actions(
        WatchActionsRequest(run_id=root.run), timeout_ms=30_000
    ):
        phases = {one.action.status.phase for one in answer.enriched_actions}
        if ActionPhase.ACTION_PHASE_SUCCEEDED in phases:
            return
    raise AssertionError("the watch ended before the first child")


def nothing_finished_is_repeated(journal: Counter[str]) -> None:
    assert journal["begin 0"] == 1
    assert {line: journal[line] for line in ONCE if line.startswith("end")} == {
        line: 1 for line in ONCE if line.startswith("end")
    }


async def test_killed_agent_readopts_its_tasks(journey: Journey) -> None:
    agent = journey.stack.agent()
    agent.kill()
    await until(lambda: journey.stack.agents() not in ([], [agent]))

    assert await journey.arrive() == ONCE, await journey.story()


async def test_killed_agent_reports_tasks_that_ended_meanwhile(journey: Journey) -> None:
    agent = journey.stack.agent()
    (journey.place / "gate").touch()
    agent.kill()

    assert await journey.arrive() == ONCE, await journey.story()


async def test_killed_control_plane_resumes(journey: Journey) -> None:
    left = psutil.Process(journey.stack.up.process.pid).children(recursive=True)
    journey.stack.kill()
    journey.stack.start()

    nothing_finished_is_repeated(await journey.arrive())
    assert not [one for one in left if one.is_running() and "postgres" in one.name()]


async def test_interrupted_stack_resumes_the_run_after_restart(journey: Journey) -> None:
    assert journey.stack.up.stop() == 0
    journey.stack.start()

    nothing_finished_is_repeated(await journey.arrive())


async def test_waiting_script_survives_control_plane_restart(
    own_stack: Stack, tmp_path: Path
) -> None:
    flyte = Flyte(own_stack, tmp_path / "home")
    flyte("deploy", "talking.py", "env")
    gate = tmp_path / "gate"
    waiting = flyte.begin_script("patient.py", str(gate))
    await until(lambda: "Created Run" in waiting.text(), output=waiting.text)
    api = ApiClient(own_stack.url)
    await api.phase(action_id(waiting.run), ActionPhase.ACTION_PHASE_RUNNING)

    own_stack.kill()
    own_stack.start()
    gate.touch()

    assert waiting.wait() == 0, waiting.text()
    assert "succeeded" in waiting.text().lower()
