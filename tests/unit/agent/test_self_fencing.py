"""When a cluster that is cut off must let go."""

from datetime import timedelta

from dataplane.agent.core.self_fencing import (
    LastHeartbeat,
    fence_at,
    parse_last_heartbeat,
    render_last_heartbeat,
)
from tests.unit.agent.assignments import NOW


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_it_lets_go_when_the_control_plane_said_so() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(180), reassign_after=seconds(300))

    assert fence_at(last_heartbeat, grace=seconds(10)) == NOW + seconds(180)


def test_it_lets_go_early_enough_for_the_grace_to_run_out() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(180), reassign_after=seconds(190))

    assert fence_at(last_heartbeat, grace=seconds(60)) < NOW + seconds(190 - 60)


def test_where_there_is_no_time_at_all_it_lets_go_at_once() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(5), reassign_after=seconds(6))

    assert fence_at(last_heartbeat, grace=seconds(60)) == NOW


def test_contact_is_read_as_it_was_written() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(1.5), reassign_after=seconds(300))
    written = {name: str(value) for name, value in render_last_heartbeat(last_heartbeat).items()}
    assert parse_last_heartbeat(written) == last_heartbeat


def test_agent_that_never_had_contact_has_none() -> None:
    assert parse_last_heartbeat({}) is None
