"""We test when a drained cluster may be called empty."""

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
SAID_AGAIN = replace(EMPTY, load=AgentLoad(counted_at=LATER))


def test_an_agents_word_counts_once_it_is_younger_than_the_last_lease() -> None:
    seen, attestation = Emptying().observe(replace(EMPTY, leased=1), NOW)
    assert attestation is None
    seen, attestation = seen.observe(EMPTY, NOW)  # the word may be from before
    assert attestation is None
    seen, attestation = seen.observe(EMPTY, NOW)
    assert attestation is None
    seen, attestation = seen.observe(SAID_AGAIN, LATER)
    assert attestation is not None
    assert (attestation.epoch, attestation.counted_at, attestation.attested_at) == (7, LATER, LATER)
    assert (attestation.leased, attestation.held, attestation.running) == (0, 0, 0)


@pytest.mark.parametrize(
    "status",
    [
        replace(SAID_AGAIN, leased=1),
        replace(SAID_AGAIN, connected=False),
        replace(SAID_AGAIN, draining_since=None),
        replace(SAID_AGAIN, load=AgentLoad(counted_at=LATER, held=1)),
        replace(SAID_AGAIN, load=AgentLoad(counted_at=LATER, running=1)),
        replace(SAID_AGAIN, load=AgentLoad(counted_at=None)),
    ],
    ids=["leased", "silent", "not draining", "held", "running", "nothing said"],
)
def test_whoever_counts_something_is_heard(status: ClusterStatus) -> None:
    seen, _ = Emptying().observe(EMPTY, NOW)
    assert seen.observe(status, LATER)[1] is None


def test_a_lease_that_comes_back_begins_it_all_again() -> None:
    seen, _ = Emptying().observe(EMPTY, NOW)
    seen, _ = seen.observe(replace(SAID_AGAIN, leased=1), LATER)
    assert seen.observe(SAID_AGAIN, LATER)[1] is None


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
def test_how_a_cluster_stands_is_said_in_a_word(status: ClusterStatus, standing: Standing) -> None:
    assert status.standing is standing


@pytest.mark.parametrize("cordoned", [False, True])
@pytest.mark.parametrize("draining", [False, True])
def test_cluster_takes_work_unless_cordoned_or_draining(*, cordoned: bool, draining: bool) -> None:
    requests = ClusterSpec(version=1, cordoned=cordoned, draining=draining, pool="")
    assert requests.takes_work is not (cordoned or draining)
