"""Strategies for everything that travels: whatever our types allow, the wire must carry."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    Digest,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.logs import LogLine, Originator
from shared.model.phases import Phase
from shared.model.reports import (
    MAX_EVENT_COUNT,
    Acknowledgement,
    AckStatus,
    ClusterEvent,
    EventType,
    Failure,
    FailureKind,
    LogLink,
    Report,
)

# What protobuf calls a string: any text but for lone surrogates. NUL is a matter of its own.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
names = texts.filter(bool)
instants = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
uuids = st.uuids()
numbers = st.integers(1, 2**31 - 1)
digests = st.binary(min_size=32, max_size=32).map(Digest)

attempt_ids = st.builds(AttemptId, uuids.map(ActionId), numbers)
lease_ids = uuids.map(LeaseId)
run_keys = st.builds(RunKey, names.map(ProjectName), names.map(DomainName), names.map(RunName))
traceparents = st.sampled_from(("", f"00-{'4b' * 16}-{'00f0' * 4}-01"))
assignments = st.builds(
    Assignment,
    org=names.map(OrgName),
    key=st.builds(ActionKey, run_keys, names.map(ActionName)),
    attempt=attempt_ids,
    lease=lease_ids,
    parent=st.none() | names.map(ActionName),
    task_type=texts,
    task_spec=digests,
    run_spec=digests,
    input_uri=texts,
    run_base=names,
    output_prefix=names,
    previous_output_prefix=texts,
    raw_data_prefix=texts,
    run_started_at=instants,
    replaceable=st.booleans(),
    traceparent=traceparents,
)
failures = st.builds(
    Failure,
    code=texts,
    kind=st.sampled_from(sorted(set(FailureKind) - {FailureKind.UNKNOWN})),
    message=texts,
    recoverable=st.booleans(),
    full_uri=texts,
)
events = st.builds(
    ClusterEvent,
    at=instants,
    reason=texts,
    message=texts,
    type=st.sampled_from(EventType),
    count=st.integers(1, MAX_EVENT_COUNT),
    source=texts,
)
log_links = st.builds(LogLink, texts, texts.map("https://{}".format))
reports = st.builds(
    Report,
    attempt=attempt_ids,
    lease=lease_ids,
    version=numbers,
    phase=st.sampled_from(sorted(set(Phase) - {Phase.UNKNOWN, Phase.PAUSED, Phase.RECOVERED})),
    at=instants,
    reason=texts,
    message=texts,
    failure=st.none() | failures,
    output_uri=texts,
    report_uri=texts,
    log_uri=texts,
    events=st.lists(events, max_size=3),
    log_links=st.lists(log_links, max_size=3),
    traceparent=traceparents,
)
acknowledgements = st.builds(Acknowledgement, attempt_ids, numbers, st.sampled_from(AckStatus))
log_lines = st.builds(LogLine, instants, texts, st.sampled_from(Originator))

AN_ATTEMPT = AttemptId(ActionId(UUID(int=1)), 1)
A_LEASE = LeaseId(UUID(int=2))
