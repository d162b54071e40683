"""Tests of the agent's link: credit, repeated messages, disconnections, calls."""

import asyncio
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from shared.idl.agent.v1 import link_pb2
from shared.model.phases import Phase
from tests.fakes.control import control_plane
from tests.integration.agent.world import (
    ActionRequest,
    AgentProcess,
    World,
    agent,
    until,
    until_file,
)


def _sleep(seconds: float = 0) -> ActionRequest:
    return ActionRequest(
        task="nap", type="core-sleep", inputs={"duration": timedelta(seconds=seconds)}
    )


async def test_thousand_inline_sleeps_succeed(world: World) -> None:
    assignments = [world.make(_sleep()) for _ in range(1000)]
    async with agent(world):
        await world.control.assign(*assignments)
        ends = [await world.control.end_of(assignment) for assignment in assignments]

    assert {end.phase for end in ends} == {Phase.SUCCEEDED}
    assert len(world.control.accepted) == 1000


async def test_abort_wakes_inline_sleep(world: World) -> None:
    async with agent(world):
        hour = asyncio.get_running_loop().time
        begun = hour()
        short, long = await world.assign(_sleep(0.3)), await world.assign(_sleep(600))
        slept = await world.control.end_of(short)
        assert hour() - begun >= 0.3
        await world.control.phase_of(long, Phase.RUNNING)
        await world.control.stop(long)
        woken = await world.control.end_of(long)

    assert slept.phase is Phase.SUCCEEDED
    assert woken.phase is Phase.ABORTED


async def test_inline_echo_returns_its_inputs(world: World) -> None:
    request = ActionRequest(task="echo", type="echo", inputs={"x": 5, "y": 7}, outputs=["o0", "o1"])
    async with agent(world):
        assignment = await world.assign(request)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED
    values = {
        name: value.scalar.primitive.integer for name, value in world.outputs(assignment).items()
    }
    assert values == {"o0": 5, "o1": 7}


async def test_repeated_assignment_runs_once_and_is_accepted_twice(
    world: World, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    assignment = world.make(
        ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": 1})
    )
    async with agent(world):
        await world.control.assign(assignment, assignment)
        await world.control.end_of(assignment)
        await world.control.assign(assignment)
        await world.control.until(lambda: len(world.control.accepted) == 3)

    assert len(marks.read_text().splitlines()) == 1


async def test_broken_stream_reconnects_and_attempts_continue(world: World) -> None:
    async with agent(world):
        await world.control.end_of(await world.assign(_sleep()))
        await world.control.disconnect()
        await world.control.until(lambda: len(world.control.sessions) == 2)
        await world.control.end_of(await world.assign(_sleep()))

    assert world.control.sessions[1].hello.last_epoch == 1


async def test_agent_waits_for_unreachable_control_plane(tmp_path: Path) -> None:
    async with control_plane() as control:
        port = int(control.address.rpartition(":")[2])
        world = World(tmp_path, control)
        started = await AgentProcess.start(world)
        await control.until(lambda: control.sessions)
    try:
        async with control_plane(port) as control:
            world.control = control
            await control.until(lambda: control.sessions)
            end = await control.end_of(await world.assign(_sleep()))
            assert end.phase is Phase.SUCCEEDED
    finally:
        await started.stop()


async def test_heartbeat_timeout_reconnects_agent(world: World) -> None:
    world.control.heartbeat = timedelta(milliseconds=200)
    world.control.echoing = False
    async with agent(world):
        await world.control.until(lambda: len(world.control.sessions) == 2)


async def test_final_rejection_ends_agent_with_remedy(world: World) -> None:
    world.control.refusal = link_pb2.Refusal(
        code="protocol_version", message="upgrade the agent", retry=False
    )
    async with agent(world) as started:
        async with asyncio.timeout(60):
            code = await started.process.wait()

    assert code == 1
    assert "upgrade the agent" in started.log.read_text()


async def test_superseded_agent_reconnects_later(world: World) -> None:
    async with agent(world) as started:
        await world.control.until(lambda: world.control.sessions)
        refusal = link_pb2.Refusal(code="superseded", message="another one came", retry=True)
        await world.control.send(link_pb2.ControlFrame(refusal=refusal))
        await world.control.until(lambda: len(world.control.sessions) == 2)

    assert "session superseded by another agent" in started.log.read_text()


async def test_log_is_followed_while_task_writes(world: World, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with agent(world):
        assignment = await world.assign(ActionRequest(task="talk_slowly", inputs={"go": str(go)}))
        await world.control.phase_of(assignment, Phase.RUNNING)
        call = await world.control.follow(assignment.attempt)
        lines = world.control.logs[call]
        await world.control.until(lambda: any(line.text == "before" for line in lines))
        assert not any(line.text == "after" for line in lines)
        go.touch()
        await world.control.until(lambda: call in world.control.answers)

    assert world.control.answers[call] == "done"
    assert any(line.text == "after" for line in lines)


async def test_unfinished_log_line_is_followed_by_control_planes_that_ask_for_it(
    world: World, tmp_path: Path
) -> None:
    bar = tmp_path / "bar"
    bar.write_text("\rfirst")
    async with agent(world):
        assignment = await world.assign(ActionRequest(task="copy_out", inputs={"source": str(bar)}))
        await world.control.phase_of(assignment, Phase.RUNNING)
        older = await world.control.follow(assignment.attempt)
        newer = await world.control.follow(assignment.attempt, partial_lines=True)
        states = world.control.partial_lines[newer]
        await world.control.until(lambda: states == ["first"])
        with bar.open("a") as file:
            file.write("\rsecond")
        await world.control.until(lambda: states == ["first", "second"])
        with bar.open("a") as file:
            file.write("\nend\n")
        await world.control.until(lambda: {older, newer} <= set(world.control.answers))

    for call in (older, newer):
        lines = [line.text for line in world.control.logs[call]]
        assert [text for text in lines if text in {"first", "second", "end"}] == ["second", "end"]
    assert world.control.partial_lines[older] == []


async def test_long_log_is_followed_in_chunks_from_any_line(world: World) -> None:
    async with agent(world):
        assignment = await world.assign(ActionRequest(task="talk", inputs={"lines": 5000}))
        await world.control.end_of(assignment)
        whole, rest = (
            await world.control.follow(assignment.attempt),
            await world.control.follow(assignment.attempt, after_line=4000),
        )
        await world.control.until(lambda: {whole, rest} <= set(world.control.answers))

    lines = [line.text for line in world.control.logs[whole] if line.text.startswith("line ")]
    assert lines == [f"line {number}" for number in range(5000)]
    assert world.control.logs[rest] == world.control.logs[whole][4000:]


async def test_log_of_unknown_attempt_is_not_found(world: World) -> None:
    stranger = world.make(_sleep())
    async with agent(world):
        await world.control.until(
            lambda: world.control.sessions and world.control.sessions[0].credit
        )
        call = await world.control.follow(stranger.attempt)
        await world.control.until(lambda: call in world.control.answers)

    assert world.control.answers[call] == "not_found"


async def test_parents_in_every_slot_do_not_starve_children(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    request = ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": 600})
    parents = [world.make(request) for _ in range(2)]
    async with agent(world, "--slots", "2"):
        await world.control.assign(*parents)
        await until(lambda: marks.exists() and len(marks.read_text().splitlines()) == 2)
        child = world.make(_sleep(), parent=parents[0].key.name)
        await world.control.assign(child)
        end = await world.control.end_of(child, seconds=60)
        assert end.phase is Phase.SUCCEEDED
        for parent in parents:
            await world.control.stop(parent)
            await world.control.end_of(parent)


async def test_agent_token_is_hidden_from_tasks(world: World, tmp_path: Path) -> None:
    description = tmp_path / "description"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="describe", inputs={"path": str(description)})
        )
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    text = await until_file(description, empty=True)
    assert "a-cluster-token" not in text
    assert '"_U_EP_OVERRIDE": "localhost:8100"' in text


async def test_agent_sends_its_release_and_its_findings_in_each_session(world: World) -> None:
    async with agent(world):
        await world.control.until(lambda: world.control.findings)
        assert world.control.sessions[0].hello.software == f"volary-agent {version('volary')}"
        # Its clock is far ahead of the fake's, which the first session shows.
        await world.control.until(
            lambda: [each.about for each in world.control.findings[-1].findings] == ["clock"]
        )
        [skew] = world.control.findings[-1].findings
        assert skew.outcome == link_pb2.Finding.OUTCOME_FAULT
        assert "let NTP set this node's clock" in skew.remedy
        sent = len(world.control.findings)
        await world.control.disconnect()
        await world.control.until(lambda: len(world.control.findings) > sent)
        assert world.control.findings[-1] == world.control.findings[sent - 1]
