"""Recorded frames of releases keep their meaning, and their sessions can be replayed."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.descriptor_rules import rules
from shared.model.phases import Phase
from tests.contract.wire import schema
from tests.contract.wire.meanings import is_kept, meaning
from tests.contract.wire.recording import record
from tests.contract.wire.recordings import (
    AGENT,
    CONTROL,
    PLACE,
    RECORDED,
    Event,
    Exchange,
    kind_of,
    load,
    releases,
    save,
    this_release,
    twin,
    twins,
)
from tests.contract.wire.replaying import play_agent, recorded_control_plane
from tests.contract.wire.samples import make_samples
from tests.contract.wire.session import TIMEOUT_SECONDS, People, lay_out, place_of
from tests.integration.agent.world import AgentProcess, stopped_afterwards
from tests.integration.link.conftest import TOKEN, LinkUnderTest

FRAMES, SESSION = "frames.json", "session.json"
REMEDY = "run make wire-fixtures, and commit what it writes"

each_release = pytest.mark.parametrize("release", releases() if RECORDED.exists() else [])


@pytest.mark.skipif("VOLARY_RECORD_WIRE" in os.environ, reason="it is about to be")
def test_recording_of_this_release_is_current() -> None:
    assert this_release() in releases(), REMEDY
    assert schema.load(this_release()) == schema.todays(), REMEDY
    recorded = [(event.by, event.raw) for event in load(this_release(), FRAMES)]
    assert recorded == [(event.by, event.raw) for event in make_samples()], REMEDY


async def test_session_of_this_release_matches_its_recording(
    link: LinkUnderTest, tmp_path: Path
) -> None:
    session = await record(link, tmp_path)
    if "VOLARY_RECORD_WIRE" in os.environ:
        schema.save(this_release(), schema.todays())
        save(this_release(), FRAMES, make_samples())
        save(this_release(), SESSION, session)
    recorded = load(this_release(), SESSION)
    assert kinds(session) == kinds(recorded), REMEDY


def kinds(events: Sequence[Event]) -> set[tuple[str, str]]:
    """Name what was said, but for what the clock alone decides."""
    return {(event.by, event.kind) for event in events} - {
        (AGENT, "heartbeat"),
        (CONTROL, "heartbeat"),
    }


@each_release
def test_wire_schema_is_backward_compatible_with(release: str) -> None:
    assert rules(schema.load(release)) <= rules(schema.todays())


@each_release
@pytest.mark.parametrize("name", [FRAMES, SESSION])
def test_recorded_frame_matches_its_text_form(release: str, name: str) -> None:
    for event, message in twins(release, name):
        assert twin(event.frame) == message
        assert kind_of(event.frame) == event.kind


@each_release
def test_recorded_frame_keeps_its_meaning(release: str) -> None:
    for event in load(release, FRAMES):
        assert is_kept(event.means, meaning(event.frame)), event


@each_release
async def test_control_plane_serves_agent_of_release(release: str, link: LinkUnderTest) -> None:
    people = People(link, PLACE)
    await play_agent(load(release, SESSION), link, people)
    await people.until_phase("r1", Phase.SUCCEEDED)
    await people.until_phase("r2", Phase.ABORTED)
    assert people.followed == 1


@each_release
async def test_agent_serves_control_plane_of_release(release: str, tmp_path: Path) -> None:
    place = place_of(tmp_path)
    lay_out(place)
    exchange = Exchange({PLACE.encode(): str(place).encode()})
    async with recorded_control_plane(load(release, SESSION), exchange) as (control, address):
        agent = await AgentProcess.dial(address, TOKEN, tmp_path, "--cold")
        async with stopped_afterwards(agent), asyncio.timeout(TIMEOUT_SECONDS):
            await control.over.wait()
