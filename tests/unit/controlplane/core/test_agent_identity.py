"""Rules of agents' certificates: valid, retired, cloned; and states of enrolments."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from controlplane.core.agent_identity import (
    PAST_INSTANCES,
    AgentCertificate,
    Enrolment,
    EnrolmentState,
    ExpelledAgentError,
    Refusal,
    check_certificate,
    check_session,
    describe_refusal,
    next_instances,
)
from shared.model.ids import ClusterName
from tests.factories import NOW

HOUR = timedelta(hours=1)
CERTIFICATE = AgentCertificate(
    serial="a1",
    fingerprint=b"f",
    enrolment=uuid4(),
    cluster=ClusterName("c1"),
    authority=uuid4(),
    public_key=b"k",
    pem="",
    created_at=NOW,
    expires_at=NOW + HOUR,
    instance_id="two",
    past_instances=("one",),
)
ENROLMENT = Enrolment(
    id=uuid4(),
    cluster=ClusterName("c1"),
    auto_accept=False,
    created_by="user:1",
    created_at=NOW,
    expires_at=NOW + HOUR,
)


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, EnrolmentState.OPEN),
        ({"expires_at": NOW}, EnrolmentState.ENDED),
        ({"used_at": NOW}, EnrolmentState.WAITING),
        ({"used_at": NOW, "expires_at": NOW}, EnrolmentState.ENDED),
        ({"used_at": NOW, "accepted_at": NOW, "expires_at": NOW}, EnrolmentState.ACCEPTED),
        ({"accepted_at": NOW, "ended_at": NOW}, EnrolmentState.ENDED),
    ],
)
def test_enrolment_state_follows_from_its_times(
    changed: dict[str, object], state: EnrolmentState
) -> None:
    assert replace(ENROLMENT, **changed).state(NOW) is state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({}, None),
        ({"expires_at": NOW}, Refusal.EXPIRED),
        ({"retired_at": NOW}, Refusal.RETIRED),
        ({"revoked_at": NOW, "retired_at": NOW, "expires_at": NOW}, Refusal.REVOKED),
    ],
)
def test_certificate_is_checked_by_its_row(
    changed: dict[str, object], refusal: Refusal | None
) -> None:
    certificate = replace(CERTIFICATE, **changed)  # type: ignore[arg-type]
    assert check_certificate(certificate, NOW) is refusal


@pytest.mark.parametrize(
    ("instance", "changed", "refusal"),
    [
        ("two", {}, None),
        ("three", {}, None),
        ("one", {}, Refusal.CLONED),
        ("two", {"retired_at": NOW}, Refusal.RETIRED),
        ("three", {"retired_at": NOW}, Refusal.CLONED),
        ("one", {"revoked_at": NOW}, Refusal.REVOKED),
    ],
)
def test_session_of_a_superseded_process_is_a_clones(
    instance: str, changed: dict[str, object], refusal: Refusal | None
) -> None:
    certificate = replace(CERTIFICATE, **changed)  # type: ignore[arg-type]
    assert check_session(certificate, instance, "two", NOW) is refusal


def test_superseded_instances_are_remembered_up_to_a_limit() -> None:
    assert next_instances(CERTIFICATE, "two") == ("one",)
    assert next_instances(CERTIFICATE, "three") == ("one", "two")
    assert next_instances(replace(CERTIFICATE, instance_id=""), "three") == ("one",)
    many = replace(CERTIFICATE, past_instances=[str(each) for each in range(PAST_INSTANCES)])
    assert next_instances(many, "three")[-2:] == (str(PAST_INSTANCES - 1), "two")
    assert len(next_instances(many, "three")) == PAST_INSTANCES


@pytest.mark.parametrize("refusal", Refusal)
def test_refusal_names_a_remedy(refusal: Refusal) -> None:
    message = describe_refusal(refusal, "c1")
    assert "join-token" in message or "use the newer one" in message


def test_expelled_agent_is_told_when_it_may_ask_again() -> None:
    assert ExpelledAgentError("the cluster was deleted").retry_after is None
    again = ExpelledAgentError("the org was deleted", retry_after=HOUR)
    assert (str(again), again.retry_after) == ("the org was deleted", HOUR)
