"""Tests of who ended an attempt, and whose retries that cost."""

from dataclasses import replace

import pytest

from controlplane.core.attempt_history import AttemptRecord
from controlplane.core.attempts import CLUSTER_LOST
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import NOW, make_failure

RUNNING = AttemptRecord(
    number=1,
    phase=Phase.RUNNING,
    cluster="c1",
    epoch=3,
    lease="l",
    available_at=NOW,
    leased_at=NOW,
    accepted_at=NOW,
    started_at=NOW,
    ended_at=None,
    failure=None,
    aborted_by="",
)
FAILED = replace(RUNNING, phase=Phase.FAILED, ended_at=NOW, failure=make_failure())
ABORTED = replace(RUNNING, phase=Phase.ABORTED, ended_at=NOW, aborted_by="user:ada")


@pytest.mark.parametrize(
    ("record", "ended_by", "charged"),
    [
        (RUNNING, "", None),
        (FAILED, "cluster c1", FailureKind.USER),
        (replace(FAILED, failure=CLUSTER_LOST), "control plane", FailureKind.SYSTEM),
        (ABORTED, "user:ada", None),
        (replace(ABORTED, aborted_by=""), "cluster c1", None),
        (replace(ABORTED, failure=make_failure()), "user:ada", None),
    ],
)
def test_attempt_says_who_ended_it_and_whose_retry_it_cost(
    record: AttemptRecord, ended_by: str, charged: FailureKind | None
) -> None:
    assert (record.ended_by, record.charged) == (ended_by, charged)


def test_lease_is_revoked_if_the_control_plane_ended_the_attempt() -> None:
    assert replace(FAILED, failure=CLUSTER_LOST).is_revoked
    assert not FAILED.is_revoked
    assert not RUNNING.is_revoked
