"""Tests of which attempts a connector runs: by task type at first, then by who started them."""

from dataclasses import replace

import pytest

from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.client import Endpoint
from dataplane.agent.runtimes.connectors.endpoints import ConnectorSettings, Endpoints
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from shared.model.phases import Phase
from tests.fakes.clock import FakeClock
from tests.unit.agent.assignments import make_assignment, make_job

NOWHERE = Endpoint(address="localhost:1")


def make_runtime(settings: ConnectorSettings) -> ConnectorRuntime:
    clock = FakeClock()
    return ConnectorRuntime(Endpoints(settings, clock), Stores(clock), clock)


def suits(
    runtime: ConnectorRuntime, task_type: str, last_reported: Phase = Phase.QUEUED, reason: str = ""
) -> bool:
    job = make_job(make_assignment(task_type=task_type))
    return runtime.suits(
        replace(job, last_reported=last_reported, last_reported_reason=reason), others=["python"]
    )


def test_unknown_task_type_suits_unreached_connector() -> None:
    unreached = make_runtime(ConnectorSettings(endpoints=[NOWHERE]))
    assert suits(unreached, "snowflake")
    assert suits(unreached, "snowflake", Phase.QUEUED, "ConnectorAway")
    assert not suits(unreached, "python")
    assert not suits(make_runtime(ConnectorSettings()), "snowflake")


@pytest.mark.parametrize(
    ("last_reported", "reason"),
    [
        (Phase.WAITING_FOR_RESOURCES, "Unschedulable"),
        (Phase.WAITING_FOR_RESOURCES, "QuotaExceeded"),
        (Phase.INITIALIZING, "Pulling"),
        (Phase.RUNNING, ""),
    ],
)
def test_attempt_started_as_pod_stays_a_pod(last_reported: Phase, reason: str) -> None:
    """A restarted agent has not reached its connectors yet; the pod runs regardless."""
    unreached = make_runtime(ConnectorSettings(endpoints=[NOWHERE]))
    assert not suits(unreached, "mine", last_reported, reason)


@pytest.mark.parametrize(
    ("last_reported", "reason"),
    [(Phase.INITIALIZING, "CreatingJob"), (Phase.RUNNING, "ConnectorRunning")],
)
def test_connector_attempt_stays_with_connector_that_is_gone(
    last_reported: Phase, reason: str
) -> None:
    assert suits(make_runtime(ConnectorSettings()), "snowflake", last_reported, reason)
