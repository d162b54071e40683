"""Rules of one function each: permissions, domains, errors, link timings, timeouts, forwarded calls."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.actions import RetryPolicy
from controlplane.core.callers import ANONYMOUS, EVERYTHING, Permission, org_wide
from controlplane.core.errors import NotAllowedError, NotFoundError, QueueNotFoundError
from controlplane.core.forwarded_calls import ANSWERED_WITHIN, Standing
from controlplane.core.link_timings import LinkTimings
from controlplane.core.tasks import TaskKey
from controlplane.core.timeouts import due_at
from shared.model.ids import DomainName, ProjectName
from shared.model.phases import Phase
from tests.factories import NOW, ORG

MINUTE = timedelta(minutes=1)


def test_caller_without_permission_is_refused_naming_it() -> None:
    allowed = replace(ANONYMOUS, org=ORG, grants=org_wide(EVERYTHING))
    for permission in Permission:
        allowed.require(permission)
        with pytest.raises(NotAllowedError, match=permission):
            ANONYMOUS.require(permission)


def test_not_found_error_lists_existing_names_and_remedy() -> None:
    assert str(NotFoundError("run", "r1")) == "run r1 not found"
    assert str(NotFoundError("pool", "p", there_are=["a", "b"])).endswith("there is a, b")
    assert str(NotFoundError("pool", "p", there_are=[])).endswith("there is none")
    assert "volary queue set 'a b'" in str(QueueNotFoundError("a b"))


def test_task_key_is_formatted_as_on_the_command_line() -> None:
    key = TaskKey(ProjectName("p"), DomainName("d"), "env.main", "v1")
    assert str(key) == "p/d/env.main@v1"


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ({"heartbeat": timedelta(0)}, "at least two heartbeats"),
        ({"heartbeat": timedelta(seconds=11)}, "at least two heartbeats"),
        ({"silent_after": timedelta(seconds=300)}, "longer than silent_after"),
        ({"self_fence": timedelta(seconds=300)}, "fences itself"),
        ({"self_fence": timedelta(0)}, "fences itself"),
        ({"acceptance": timedelta(0)}, "time to accept a lease"),
    ],
)
def test_link_timings_that_contradict_each_other_are_refused(
    times: dict[str, timedelta], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        LinkTimings(**times)


def test_lease_expiry_interval_is_shorter_than_heartbeat_interval() -> None:
    assert timedelta(0) < LinkTimings().passes < LinkTimings().heartbeat


@pytest.mark.parametrize("phase", Phase)
def test_timeout_is_the_earlier_of_deadline_and_queued_timeout(phase: Phase) -> None:
    def due(policy: RetryPolicy) -> timedelta | None:
        at = due_at(policy, phase, created_at=NOW, available_at=NOW + 2 * MINUTE)
        return None if at is None else at - NOW

    waits = phase in {Phase.QUEUED, Phase.WAITING_FOR_RESOURCES}
    assert due(RetryPolicy()) is None
    assert due(RetryPolicy(deadline=9 * MINUTE)) == 9 * MINUTE
    assert due(RetryPolicy(queued_timeout=3 * MINUTE)) == (5 * MINUTE if waits else None)
    both = RetryPolicy(deadline=9 * MINUTE, queued_timeout=3 * MINUTE)
    assert due(both) == (5 if waits else 9) * MINUTE
    late = RetryPolicy(deadline=MINUTE, queued_timeout=3 * MINUTE)
    assert due(late) == MINUTE


def test_forwarded_call_is_lost_when_unclaimed_or_session_superseded() -> None:
    unanswered = Standing(asked_at=NOW, epoch=None, current=4, connected=True)
    assert not unanswered.is_lost(NOW)
    assert unanswered.is_lost(NOW + ANSWERED_WITHIN)
    answered = replace(unanswered, epoch=4)
    assert not answered.is_lost(NOW + 9 * ANSWERED_WITHIN)
    assert replace(answered, connected=False).is_lost(NOW)
    assert replace(answered, current=5).is_lost(NOW)
