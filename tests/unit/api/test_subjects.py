"""Tests of finding the run and action that a request is about."""

import pytest
from flyteidl2.actions.actions_service_pb2 import (
    Action,
    EnqueueRequest,
    WatchForUpdatesRequest,
)
from flyteidl2.common.identifier_pb2 import (
    ActionAttemptIdentifier,
    ActionIdentifier,
    ProjectIdentifier,
    RunIdentifier,
)
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateDownloadLinkRequest
from flyteidl2.workflow.events_proxy_service_pb2 import RecordRequest
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    CreateRunRequest,
    GetActionDetailsRequest,
    ListRunsRequest,
    WatchClusterEventsRequest,
)
from google.protobuf.message import Message

from controlplane.api.subjects import find_subject

RUN = RunIdentifier(org="acme", project="p", domain="d", name="r1")
ACTION = ActionIdentifier(run=RUN, name="a1")


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        (AbortRunRequest(run_id=RUN), "p/d/r1/a0"),
        (CreateRunRequest(run_id=RUN), "p/d/r1/a0"),
        (GetActionDetailsRequest(action_id=ACTION), "p/d/r1/a1"),
        (WatchForUpdatesRequest(parent_action_id=ACTION), "p/d/r1/a1"),
        (WatchClusterEventsRequest(id=ACTION), "p/d/r1/a1"),
        (
            CreateDownloadLinkRequest(action_attempt_id=ActionAttemptIdentifier(action_id=ACTION)),
            "p/d/r1/a1",
        ),
    ],
)
def test_subject_of_a_request_is_the_action_or_run_that_it_names(
    request_: Message, action: str
) -> None:
    subject = find_subject(request_)
    assert subject is not None
    assert (str(subject.action), subject.parent) == (action, None)


def test_subject_of_an_enqueue_has_its_parent() -> None:
    subject = find_subject(EnqueueRequest(action=Action(action_id=ACTION, parent_action_name="a0")))
    assert subject is not None
    assert (str(subject.action), subject.parent) == ("p/d/r1/a1", "a0")


@pytest.mark.parametrize(
    "request_",
    [
        ListRunsRequest(),
        RecordRequest(),
        AbortRunRequest(),
        GetActionDetailsRequest(),
        CreateRunRequest(project_id=ProjectIdentifier(name="p")),
        CreateDownloadLinkRequest(),
    ],
)
def test_request_that_names_no_run_has_no_subject(request_: Message) -> None:
    assert find_subject(request_) is None
