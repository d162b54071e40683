"""Which attempts are a connector's: by type at first, afterwards by who has begun them."""

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


def test_a_type_that_nobody_else_runs_may_be_one_of_a_connector_not_heard_yet() -> None:
    unheard = make_runtime(ConnectorSettings(endpoints=[NOWHERE]))
    assert suits(unheard, "snowflake")
    assert suits(unheard, "snowflake", Phase.QUEUED, "ConnectorAway")
    assert not suits(unheard, "python")
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
def test_what_was_begun_as_a_pod_stays_one(last_reported: Phase, reason: str) -> None:
    """An agent that begins anew has not heard its connectors; the pod runs all the same."""
    unheard = make_runtime(ConnectorSettings(endpoints=[NOWHERE]))
    assert not suits(unheard, "mine", last_reported, reason)


@pytest.mark.parametrize(
    ("last_reported", "reason"),
    [(Phase.INITIALIZING, "CreatingJob"), (Phase.RUNNING, "ConnectorRunning")],
)
def test_what_a_connector_has_begun_is_no_pod_when_it_is_served_no_longer(
    last_reported: Phase, reason: str
) -> None:
    assert suits(make_runtime(ConnectorSettings()), "snowflake", last_reported, reason)
