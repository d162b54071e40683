"""The caller that an attempt is: its subject, its credential, and what it may do."""

from uuid import UUID

import pytest

from controlplane.core.attempt_callers import (
    RunningAttempt,
    credential_of,
    make_caller,
    parse_lease,
    subject_of,
)
from controlplane.core.callers import EVERYTHING, Permission, Subject
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    DomainName,
    LeaseId,
    ProjectName,
    RunKey,
    RunName,
)
from tests.factories import ORG

ACTION, LEASE = ActionId(UUID(int=1)), LeaseId(UUID(int=2))
KEY = ActionKey(RunKey(ProjectName("p"), DomainName("d"), RunName("r")), ActionName("a0"))
CALLER = make_caller(ORG, RunningAttempt(KEY, AttemptId(ACTION, 3), LEASE))


def test_subject_is_the_action_so_that_a_retry_repeats_calls_as_the_same_caller() -> None:
    retry = make_caller(ORG, RunningAttempt(KEY, AttemptId(ACTION, 4), LeaseId(UUID(int=9))))
    assert retry.subject == CALLER.subject == f"attempt:{ACTION}"


def test_lease_is_read_back_from_subject_and_credential() -> None:
    assert parse_lease(subject_of(ACTION), credential_of(LEASE).id) == (ACTION, LEASE)


@pytest.mark.parametrize(
    ("subject", "credential"),
    [
        (f"user:{ACTION}", str(LEASE)),
        ("attempt:no-uuid", str(LEASE)),
        (f"attempt:{ACTION}", "no-uuid"),
        ("", ""),
    ],
)
def test_other_subjects_and_credentials_name_no_lease(subject: str, credential: str) -> None:
    assert parse_lease(Subject(subject), credential) is None


def test_attempt_may_read_tasks_of_its_project_and_act_in_its_domain_only() -> None:
    assert CALLER.may(Permission.ACTION_ENQUEUE, "p", "d")
    assert CALLER.may(Permission.TASK_READ, "p", "other")
    elsewhere = [("p", "other"), ("other", "d"), ("", "")]
    others = EVERYTHING - {Permission.TASK_READ}
    assert not any(CALLER.may(each, *place) for each in others for place in elsewhere)
    assert not CALLER.may(Permission.TASK_READ, "other", "d")


DATA = {Permission.ARTIFACT_WRITE, Permission.BLOB_WRITE}


def test_attempt_may_not_administer_anything() -> None:
    for each in EVERYTHING:
        if each.endswith(":write") and each not in DATA:
            assert not CALLER.may(each, "p", "d"), each
