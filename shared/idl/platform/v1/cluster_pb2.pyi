import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cluster(_message.Message):
    __slots__ = ("name", "pool", "cordoned", "draining_since", "state", "connected", "connected_at", "seen_at", "epoch", "agent", "load", "version", "cloned_at", "cloned")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AT_FIELD_NUMBER: _ClassVar[int]
    SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLONED_AT_FIELD_NUMBER: _ClassVar[int]
    CLONED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool: str
    cordoned: bool
    draining_since: _timestamp_pb2.Timestamp
    state: str
    connected: bool
    connected_at: _timestamp_pb2.Timestamp
    seen_at: _timestamp_pb2.Timestamp
    epoch: int
    agent: ClusterAgent
    load: ClusterLoad
    version: int
    cloned_at: _timestamp_pb2.Timestamp
    cloned: str
    def __init__(self, name: _Optional[str] = ..., pool: _Optional[str] = ..., cordoned: _Optional[bool] = ..., draining_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[str] = ..., connected: _Optional[bool] = ..., connected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., epoch: _Optional[int] = ..., agent: _Optional[_Union[ClusterAgent, _Mapping]] = ..., load: _Optional[_Union[ClusterLoad, _Mapping]] = ..., version: _Optional[int] = ..., cloned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cloned: _Optional[str] = ...) -> None: ...

class ClusterAgent(_message.Message):
    __slots__ = ("agent_id", "instance_id", "software", "protocol", "capabilities", "version_skew")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_SKEW_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    instance_id: str
    software: str
    protocol: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    version_skew: str
    def __init__(self, agent_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., software: _Optional[str] = ..., protocol: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., version_skew: _Optional[str] = ...) -> None: ...

class ClusterLoad(_message.Message):
    __slots__ = ("leased", "unaccepted", "held", "running", "slots", "counted_at")
    LEASED_FIELD_NUMBER: _ClassVar[int]
    UNACCEPTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_AT_FIELD_NUMBER: _ClassVar[int]
    leased: int
    unaccepted: int
    held: int
    running: int
    slots: int
    counted_at: _timestamp_pb2.Timestamp
    def __init__(self, leased: _Optional[int] = ..., unaccepted: _Optional[int] = ..., held: _Optional[int] = ..., running: _Optional[int] = ..., slots: _Optional[int] = ..., counted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ClusterFindings(_message.Message):
    __slots__ = ("findings", "checked_at", "received_at")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[ClusterFinding]
    checked_at: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    def __init__(self, findings: _Optional[_Iterable[_Union[ClusterFinding, _Mapping]]] = ..., checked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ClusterFinding(_message.Message):
    __slots__ = ("about", "outcome", "text", "remedy")
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    about: str
    outcome: str
    text: str
    remedy: str
    def __init__(self, about: _Optional[str] = ..., outcome: _Optional[str] = ..., text: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class GetClusterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetClusterResponse(_message.Message):
    __slots__ = ("cluster", "findings")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    cluster: Cluster
    findings: ClusterFindings
    def __init__(self, cluster: _Optional[_Union[Cluster, _Mapping]] = ..., findings: _Optional[_Union[ClusterFindings, _Mapping]] = ...) -> None: ...

class ListClustersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListClustersResponse(_message.Message):
    __slots__ = ("clusters", "next_page_token")
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    next_page_token: str
    def __init__(self, clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchClustersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchClustersResponse(_message.Message):
    __slots__ = ("clusters", "removed", "complete", "as_of")
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    removed: _containers.RepeatedScalarFieldContainer[str]
    complete: bool
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., removed: _Optional[_Iterable[str]] = ..., complete: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListLeasedAttemptsRequest(_message.Message):
    __slots__ = ("cluster", "page_size", "page_token")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    page_size: int
    page_token: str
    def __init__(self, cluster: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLeasedAttemptsResponse(_message.Message):
    __slots__ = ("attempts", "next_page_token")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[LeasedAttempt]
    next_page_token: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[LeasedAttempt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListClusterSessionsRequest(_message.Message):
    __slots__ = ("cluster", "page_size", "page_token")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    page_size: int
    page_token: str
    def __init__(self, cluster: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListClusterSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[ClusterSession]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[ClusterSession, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ClusterSession(_message.Message):
    __slots__ = ("epoch", "opened_at", "ended_at", "ended_because", "agent_id", "instance_id", "software", "certificate", "certificate_expires_at", "certificate_revoked")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REVOKED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    opened_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    ended_because: str
    agent_id: str
    instance_id: str
    software: str
    certificate: str
    certificate_expires_at: _timestamp_pb2.Timestamp
    certificate_revoked: bool
    def __init__(self, epoch: _Optional[int] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_because: _Optional[str] = ..., agent_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., software: _Optional[str] = ..., certificate: _Optional[str] = ..., certificate_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate_revoked: _Optional[bool] = ...) -> None: ...

class UpdateClusterRequest(_message.Message):
    __slots__ = ("cluster", "update_mask")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    cluster: Cluster
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, cluster: _Optional[_Union[Cluster, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateClusterResponse(_message.Message):
    __slots__ = ("cluster",)
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    cluster: Cluster
    def __init__(self, cluster: _Optional[_Union[Cluster, _Mapping]] = ...) -> None: ...

class DrainClusterRequest(_message.Message):
    __slots__ = ("name", "stop_attempts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STOP_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    stop_attempts: bool
    def __init__(self, name: _Optional[str] = ..., stop_attempts: _Optional[bool] = ...) -> None: ...

class DrainClusterResponse(_message.Message):
    __slots__ = ("drain",)
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    drain: Drain
    def __init__(self, drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("cluster", "remaining", "returned", "stopped", "attestation")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    cluster: Cluster
    remaining: _containers.RepeatedCompositeFieldContainer[LeasedAttempt]
    returned: int
    stopped: int
    attestation: DrainAttestation
    def __init__(self, cluster: _Optional[_Union[Cluster, _Mapping]] = ..., remaining: _Optional[_Iterable[_Union[LeasedAttempt, _Mapping]]] = ..., returned: _Optional[int] = ..., stopped: _Optional[int] = ..., attestation: _Optional[_Union[DrainAttestation, _Mapping]] = ...) -> None: ...

class LeasedAttempt(_message.Message):
    __slots__ = ("project", "domain", "run", "action", "attempt", "phase", "leased_at", "accepted_at", "stop_reason")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    LEASED_AT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    project: str
    domain: str
    run: str
    action: str
    attempt: int
    phase: str
    leased_at: _timestamp_pb2.Timestamp
    accepted_at: _timestamp_pb2.Timestamp
    stop_reason: str
    def __init__(self, project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., attempt: _Optional[int] = ..., phase: _Optional[str] = ..., leased_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop_reason: _Optional[str] = ...) -> None: ...

class DrainAttestation(_message.Message):
    __slots__ = ("cluster", "epoch", "agent_id", "instance_id", "draining_since", "counted_at", "attested_at")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    DRAINING_SINCE_FIELD_NUMBER: _ClassVar[int]
    COUNTED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_AT_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    epoch: int
    agent_id: str
    instance_id: str
    draining_since: _timestamp_pb2.Timestamp
    counted_at: _timestamp_pb2.Timestamp
    attested_at: _timestamp_pb2.Timestamp
    def __init__(self, cluster: _Optional[str] = ..., epoch: _Optional[int] = ..., agent_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., draining_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., counted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchDrainRequest(_message.Message):
    __slots__ = ("name", "deadline", "stop_attempts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    STOP_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    deadline: _duration_pb2.Duration
    stop_attempts: bool
    def __init__(self, name: _Optional[str] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stop_attempts: _Optional[bool] = ...) -> None: ...

class WatchDrainResponse(_message.Message):
    __slots__ = ("drain",)
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    drain: Drain
    def __init__(self, drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class DeleteClusterRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteClusterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
