"""Tests of self-fencing: when a disconnected agent must stop its replaceable attempts."""

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


def test_fence_closes_after_announced_time() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(180), reassign_after=seconds(300))

    assert fence_at(last_heartbeat, grace=seconds(10)) == NOW + seconds(180)


def test_fence_closes_early_enough_for_grace() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(180), reassign_after=seconds(190))

    assert fence_at(last_heartbeat, grace=seconds(60)) < NOW + seconds(190 - 60)


def test_fence_closes_at_once_without_time_for_grace() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(5), reassign_after=seconds(6))

    assert fence_at(last_heartbeat, grace=seconds(60)) == NOW


def test_last_heartbeat_round_trips() -> None:
    last_heartbeat = LastHeartbeat(NOW, fence_after=seconds(1.5), reassign_after=seconds(300))
    written = {name: str(value) for name, value in render_last_heartbeat(last_heartbeat).items()}
    assert parse_last_heartbeat(written) == last_heartbeat


def test_last_heartbeat_is_none_before_first_session() -> None:
    assert parse_last_heartbeat({}) is None
