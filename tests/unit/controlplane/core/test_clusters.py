"""Clusters: drain attestation, standing and desired state."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.clusters import (
    AgentInfo,
    AgentLoad,
    ClusterSpec,
    ClusterStatus,
    Emptying,
    Standing,
)
from shared.model.ids import ClusterName
from tests.factories import NOW

LATER = NOW + timedelta(seconds=5)
EMPTY = ClusterStatus(
    name=ClusterName("c1"),
    pool="",
    cordoned=False,
    draining_since=NOW,
    spec_version=1,
    connected=True,
    connected_at=NOW,
    seen_at=NOW,
    epoch=7,
    agent=AgentInfo(agent_id="a", instance_id="i", software="s"),
    load=AgentLoad(counted_at=NOW),
    leased=0,
    unaccepted=0,
)
REPORTED_AGAIN = replace(EMPTY, load=AgentLoad(counted_at=LATER))


def test_drain_attestation_needs_a_heartbeat_after_the_last_lease() -> None:
    seen, attestation = Emptying().observe(replace(EMPTY, leased=1), NOW)
    assert attestation is None
    seen, attestation = seen.observe(
        EMPTY, NOW
    )  # this report may be from before the last lease ended
    assert attestation is None
    seen, attestation = seen.observe(EMPTY, NOW)
    assert attestation is None
    seen, attestation = seen.observe(REPORTED_AGAIN, LATER)
    assert attestation is not None
    assert (attestation.epoch, attestation.counted_at, attestation.attested_at) == (7, LATER, LATER)
    assert (attestation.leased, attestation.held, attestation.running) == (0, 0, 0)


@pytest.mark.parametrize(
    "status",
    [
        replace(REPORTED_AGAIN, leased=1),
        replace(REPORTED_AGAIN, connected=False),
        replace(REPORTED_AGAIN, draining_since=None),
        replace(REPORTED_AGAIN, load=AgentLoad(counted_at=LATER, held=1)),
        replace(REPORTED_AGAIN, load=AgentLoad(counted_at=LATER, running=1)),
        replace(REPORTED_AGAIN, load=AgentLoad(counted_at=None)),
    ],
    ids=["leased", "silent", "not draining", "held", "running", "no heartbeat"],
)
def test_drain_is_not_attested_while_any_count_is_nonzero(status: ClusterStatus) -> None:
    seen, _ = Emptying().observe(EMPTY, NOW)
    assert seen.observe(status, LATER)[1] is None


def test_drain_attestation_restarts_after_a_new_lease() -> None:
    seen, _ = Emptying().observe(EMPTY, NOW)
    seen, _ = seen.observe(replace(REPORTED_AGAIN, leased=1), LATER)
    assert seen.observe(REPORTED_AGAIN, LATER)[1] is None


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        (EMPTY, Standing.DRAINING),
        (replace(EMPTY, draining_since=None), Standing.READY),
        (replace(EMPTY, draining_since=None, cordoned=True), Standing.CORDONED),
        (replace(EMPTY, draining_since=None, connected=False), Standing.SILENT),
        (replace(EMPTY, draining_since=None, connected=False, seen_at=None), Standing.NEW),
    ],
)
def test_cluster_standing_follows_from_its_status(
    status: ClusterStatus, standing: Standing
) -> None:
    assert status.standing is standing


@pytest.mark.parametrize("cordoned", [False, True])
@pytest.mark.parametrize("draining", [False, True])
def test_cluster_takes_work_unless_cordoned_or_draining(*, cordoned: bool, draining: bool) -> None:
    spec = ClusterSpec(version=1, cordoned=cordoned, draining=draining, pool="")
    assert spec.takes_work is not (cordoned or draining)


def test_version_for_callers_is_never_the_one_that_compares_none() -> None:
    assert [replace(EMPTY, spec_version=each).version for each in (0, 1)] == [1, 2]
